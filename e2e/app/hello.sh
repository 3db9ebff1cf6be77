#!/bin/busybox sh
# The demo's application. Its result is one file: its arguments, its task id, and a hash of both.
set -eu
export PATH=/bin
arguments="$*"
sum=$(printf '%s\n%s' "$arguments" "$IEXEC_TASK_ID" | sha256sum | cut -d ' ' -f 1)
printf 'arguments: %s\ntask:      %s\nsha256:    %s\n' "$arguments" "$IEXEC_TASK_ID" "$sum" > "$IEXEC_OUT/result.txt"
printf '{"deterministic-output-path":"/iexec_out/result.txt"}' > "$IEXEC_OUT/computed.json"
