#!/bin/busybox sh
# An application that does what its first argument says: the ways in which applications of strangers go wrong.
set -eu
export PATH=/bin
mode="$1"
out="$IEXEC_OUT"
done_with() { printf '{"deterministic-output-path":"%s"}' "$1" > "$out/computed.json"; }
printf 'mode %s task %s\n' "$mode" "$IEXEC_TASK_ID" > "$out/result.txt"
case "$mode" in
    ok) done_with /iexec_out/result.txt ;;
    sleep) sleep "$2"; done_with /iexec_out/result.txt ;;
    early) done_with /iexec_out/result.txt; sleep "$2" ;;
    exit-after-result) done_with /iexec_out/result.txt; exit 3 ;;
    exit) exit 3 ;;
    no-computed-json) ;;

    # Resources: time, output, room, processes, memory.
    forever) done_with /iexec_out/result.txt; while :; do :; done ;;
    deaf) trap '' TERM INT HUP; done_with /iexec_out/result.txt; while :; do sleep 1; done ;;
    print) done_with /iexec_out/result.txt; yes "a line that is printed again and again and again and again" | head -c "$2" ;;
    fill) done_with /iexec_out/result.txt; head -c "$2" /dev/zero > "$out/large.bin"; sleep 30 ;;
    forks)
        done_with /iexec_out/result.txt
        bomb() { bomb & bomb; }
        bomb 2> /dev/null &
        # No further process: the shell would end where it gets none.
        while :; do :; done ;;

    # Outputs that are not what they seem.
    outside) ln -s /etc/passwd "$out/link"; done_with /iexec_out/link ;;
    above) done_with /iexec_out/../../../../etc/passwd ;;
    folder-link) ln -s / "$out/root"; done_with /iexec_out/root/etc/hostname ;;
    fifo) mkfifo "$out/pipe"; done_with /iexec_out/pipe ;;
    fifo-beside) mkfifo "$out/pipe"; ln -s /proc/self/mem "$out/memory"; done_with /iexec_out/result.txt ;;
    fifo-for-computed) mkfifo "$out/computed.json" ;;
    link-for-computed) ln -s /etc/passwd "$out/computed.json" ;;
    stdout-link) ln -s /iexec_out/result.txt "$out/stdout.txt"; echo "written through a link"; done_with /iexec_out/result.txt ;;
    sparse) truncate -s 1T "$out/sparse.bin"; done_with /iexec_out/sparse.bin ;;
    sparse-beside) truncate -s 1T "$out/sparse.bin"; done_with /iexec_out/result.txt ;;
    *) echo "unknown mode $mode" >&2; exit 64 ;;
esac
