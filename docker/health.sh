#!/bin/sh
# Whether the server in this container is alive: it asks the port of TAMIS_BIND.
set -eu
port=${TAMIS_BIND:-127.0.0.1:50050}
port=${port##*:}
scheme=http
if [ -n "${TAMIS_TLS_CERTIFICATE:-}" ]; then
    scheme=https
fi
# The certificate is of the name that others know, not of this address; nothing is told or learned here.
exec curl --silent --show-error --fail --insecure --max-time 2 --output /dev/null "$scheme://127.0.0.1:$port/healthz"
