#!/bin/busybox sh
# An application that says something on both of its streams, and takes about a second.
set -eu
export PATH=/bin
echo "said: $*"
echo "complained: $*" >&2
sleep 1
printf 'spoken\n' > "$IEXEC_OUT/result.txt"
printf '{"deterministic-output-path":"/iexec_out/result.txt"}' > "$IEXEC_OUT/computed.json"
