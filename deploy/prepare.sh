#!/bin/sh
# What stands before the services start: their key, the profile's weights, and /weights/generate for vLLM.
set -eu
if [ ! -s /keys/services ]; then
    python -c 'import secrets; print(secrets.token_urlsafe(32))' >/keys/services.new
    mv /keys/services.new /keys/services
fi
ragline models pull
if [ -n "${RAGLINE_GENERATE__MODEL:-}" ]; then
    ln -sfn "$(ragline models path "$RAGLINE_GENERATE__MODEL")" /weights/generate
fi
