#!/bin/sh
# The entry point of the containers: `tamis` with what only the container knows.
set -eu

if [ "${1:-}" = executor ] && [ -n "${TAMIS_BIND:-}" ] && [ -z "${TAMIS_ADVERTISE:-}" ]; then
    case $TAMIS_BIND in
        0.0.0.0*)
            # Names of containers are not known everywhere; their addresses are.
            TAMIS_ADVERTISE=$(hostname -i | cut -d ' ' -f 1)
            export TAMIS_ADVERTISE
            ;;
    esac
fi

# Results of an executor that was killed: nobody can ask for them any more. A container runs one executor.
if [ "${1:-}" = executor ] && [ -n "${TMPDIR:-}" ]; then
    rm -rf "$TMPDIR"/tamis-executor-*
fi

# tamis takes this process's place, and so gets SIGTERM.
exec "${TAMIS_PROGRAM:-tamis}" "$@"
