#!/usr/bin/env bash
# A nightly job without a line of Python, for example from cron:
#   15 3 * * *  RUNLORE_DATA_DIR=/srv/runlore /srv/jobs/shell_job.sh /srv/exports/sales.csv
# It never waits for NATS: events go to the outbox first, and `runlore up` sends what was left.
set -euo pipefail

file=${1:?usage: shell_job.sh FILE}
rows=$(($(wc -l <"$file") - 1))
bytes=$(wc -c <"$file")

# Versions of a data set are named by the day; a type stands before a value that is more than text.
runlore log "dataset:sales@$(date +%F)" \
    "rows=$rows" "size=StorageSize:$((bytes))" "file=Path:$file" "checked.empty=$([ "$rows" -gt 0 ] && echo false || echo true)"

# Anything that prints a JSON object can be logged as it is.
printf '{"exit_code": 0, "columns": %s}' "$(head -1 "$file" | awk -F, '{print NF}')" |
    runlore log "dataset:sales@$(date +%F)" --json -
