#!/bin/sh
# The entry point of the object store: SeaweedFS with one user, whose keys come from the environment.
set -eu
umask 077
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "tamis",
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}],
  "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
# -volume.max=0: as many volumes as the disk holds.
exec weed server -dir=/data -ip=store -ip.bind=0.0.0.0 -volume.max=0 -s3 -s3.port=8333 -s3.config=/tmp/s3.json
