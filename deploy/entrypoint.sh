#!/bin/sh
# `ragline ARGUMENTS`, holding the key of this project's model services: $SERVICES_KEY, else what prepare.sh wrote.
set -eu
if [ -z "${SERVICES_KEY:-}" ] && [ -r /keys/services ]; then
    SERVICES_KEY=$(cat /keys/services)
fi
for service in EMBED SCORE GENERATE; do
    eval "export RAGLINE_${service}__API_KEY=\"\${RAGLINE_${service}__API_KEY:-\${SERVICES_KEY:-}}\""
done
exec ragline "$@"
