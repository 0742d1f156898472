#!/bin/sh
# Registers this pod with the load balancer under its server ID: one more than the ordinal at the end of POD_NAME, as cluster.json
# counts from 1. A
# target's ID cannot change, and is unique, so the address that this ordinal had before is taken out first.
set -eu
ordinal="${POD_NAME##*-}"
server_id="$(printf '0x%016x' "$((ordinal + 1))")"
port=4433

old="$(aws elbv2 describe-target-health --target-group-arn "$TARGET_GROUP_ARN" --output text \
  --query "TargetHealthDescriptions[?Target.QuicServerId=='$server_id'].Target.Id")"
for address in $old; do
  [ "$address" = None ] && continue
  [ "$address" = "$POD_IP" ] && exit 0
  echo "taking out $address, which had $server_id"
  aws elbv2 deregister-targets --target-group-arn "$TARGET_GROUP_ARN" \
    --targets "Id=$address,Port=$port,QuicServerId=$server_id"
done
echo "registering $POD_IP with $server_id"
aws elbv2 register-targets --target-group-arn "$TARGET_GROUP_ARN" \
  --targets "Id=$POD_IP,Port=$port,QuicServerId=$server_id"
