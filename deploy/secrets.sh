#!/bin/sh
# secrets.sh [FOLDER]: new random secrets for compose.yaml, into FOLDER (deploy/secrets), which must not be there yet.
set -eu

folder=${1:-$(dirname "$0")/secrets}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Others of this machine may not look into the folder; the containers' users read the files themselves.
(umask 077 && mkdir "$folder")
put() { printf '%s\n' "$2" >"$folder/$1" && chmod 444 "$folder/$1"; }

redis=$(random)
put redis_password "$redis"
put broker_url "redis://:$redis@redis:6379/0"
put result_backend "redis://:$redis@redis:6379/1"

put s3_admin_key "$(random)"
put s3_admin_secret "$(random)"
put s3_key "$(random)"
put s3_secret "$(random)"
# SeaweedFS' own way to say what s3-policy.json says.
put s3_config "$(cat <<JSON
{
  "identities": [
    {
      "name": "admin",
      "credentials": [
        {"accessKey": "$(cat "$folder/s3_admin_key")", "secretKey": "$(cat "$folder/s3_admin_secret")"}
      ],
      "actions": ["Admin", "Read", "List", "Write"]
    },
    {
      "name": "worker",
      "credentials": [{"accessKey": "$(cat "$folder/s3_key")", "secretKey": "$(cat "$folder/s3_secret")"}],
      "actions": ["Read:scans", "List:scans", "Read:results", "List:results", "Write:results"]
    }
  ]
}
JSON
)"

put flower_auth "admin:$(random)"
put grafana_password "$(random)"
echo "$folder: made. Flower's user and password are in $folder/flower_auth"
