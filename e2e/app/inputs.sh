#!/bin/busybox sh
# An application that tells what it was given: its arguments, its variables, and what lies in its input folder. With the first argument
# `call-back` its result is the bytes of the second, for a contract.
set -eu
export PATH=/bin
if [ "${1:-}" = call-back ]; then
    printf '{"callback-data":"%s"}' "$2" > "$IEXEC_OUT/computed.json"
    exit 0
fi
out="$IEXEC_OUT/result.txt"
{
    for argument in "$@"; do printf 'argument <%s>\n' "$argument"; done
    printf 'dataset %s\n' "$IEXEC_DATASET_FILENAME"
    printf 'files %s in %s\n' "$IEXEC_INPUT_FILES_NUMBER" "${IEXEC_INPUT_FILES_FOLDER:-nothing}"
    printf 'first file %s\n' "${IEXEC_INPUT_FILE_NAME_1:-none}"
    for file in $(ls "$IEXEC_IN"); do
        printf 'input %s %s\n' "$file" "$(sha256sum < "$IEXEC_IN/$file" | cut -d ' ' -f 1)"
    done
} > "$out"
printf '{"deterministic-output-path":"/iexec_out/result.txt"}' > "$IEXEC_OUT/computed.json"
