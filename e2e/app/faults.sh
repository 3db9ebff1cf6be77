#!/bin/busybox sh
# An application that does what its first argument says: the ways in which applications of strangers go wrong.
set -eu
export PATH=/bin
mode="$1"
done_with() { printf '{"deterministic-output-path":"%s"}' "$1" > "$IEXEC_OUT/computed.json"; }
printf 'mode %s task %s\n' "$mode" "$IEXEC_TASK_ID" > "$IEXEC_OUT/result.txt"
case "$mode" in
    ok) done_with /iexec_out/result.txt ;;
    sleep) sleep "$2"; done_with /iexec_out/result.txt ;;
    exit-after-result) done_with /iexec_out/result.txt; exit 3 ;;
    exit) exit 3 ;;
    no-computed-json) ;;
    outside) ln -s /etc/passwd "$IEXEC_OUT/link"; done_with /iexec_out/link ;;
    above) done_with /iexec_out/../../../../etc/passwd ;;
    *) echo "unknown mode $mode" >&2; exit 64 ;;
esac
