#!/usr/bin/env bash
# Broadcasting with curl, and a token made with openssl.
set -euo pipefail
# shellcheck source=bifrost.sh
. "$(dirname "$0")/bifrost.sh"

# curl, silent, with a deadline; prints the body and then the status.
request() {
  curl --silent --show-error --max-time "$DEADLINE" --write-out ' %{http_code}' "$@"
}

# token N: one that broadcasts message N.
token() {
  sign "{\"channel\":\"global\",\"message\":{\"event\":\"new_item\",\"data\":\"{\\\"id\\\":$1}\"}}"
}

# delivered N ANSWER: the answer says so, and the subscriber has message N.
delivered() {
  expect "$2" '{"message":"Success","deliveries":1} 200'
  expect "$(next_message)" "{\"event\":\"new_item\",\"data\":\"{\\\"id\\\":$1}\"}"
}

start_server
start_subscriber global
broadcast=http://$ADDRESS/broadcast
info=http://$ADDRESS/info.json

echo "- a JSON body"
delivered 1 "$(request -H 'Content-Type: application/json' -d "{\"token\":\"$(token 1)\"}" "$broadcast")"

echo "- a form"
delivered 2 "$(request -d "token=$(token 2)" "$broadcast")"

echo "- a chunked body"
delivered 3 "$(request -H 'Transfer-Encoding: chunked' -d "{\"token\":\"$(token 3)\"}" "$broadcast")"

echo "- HTTP/1.0"
delivered 4 "$(request --http1.0 -d "token=$(token 4)" "$broadcast")"

echo "- a client that waits for 100 Continue"
answer=$(request -H 'Expect: 100-continue' --expect100-timeout "$DEADLINE" --dump-header "$DIRECTORY/head" \
  -d "token=$(token 5)" "$broadcast")
delivered 5 "$answer"
expect "$(head -n 1 "$DIRECTORY/head")" $'HTTP/1.1 100 Continue\r'

echo "- two requests on one connection"
answer=$(request -d "token=$(token 6)" "$broadcast" --next \
  --silent --max-time "$DEADLINE" --write-out ' %{http_code} %{num_connects}' -d "token=$(token 7)" "$broadcast")
expect "$answer" '{"message":"Success","deliveries":1} 200{"message":"Success","deliveries":1} 200 0'
expect "$(next_message)" '{"event":"new_item","data":"{\"id\":6}"}'
expect "$(next_message)" '{"event":"new_item","data":"{\"id\":7}"}'

echo "- a body over 1 MiB is refused, and the answer arrives"
head -c 3000000 /dev/zero | tr '\0' x >"$DIRECTORY/large"
# By default curl sends Expect for so large a body and gets the refusal first; without Expect it
# is refused while it sends.
for headers in '' '-HExpect:' '-HTransfer-Encoding:chunked' '-HExpect: -HTransfer-Encoding:chunked'; do
  # shellcheck disable=SC2086 # several headers in one word
  answer=$(request $headers --data-binary "@$DIRECTORY/large" "$broadcast")
  expect "${answer##* }" 413
  expect "$(jq '.error | type' <<<"${answer% *}")" '"string"'
done

echo "- a token that expired, and one that was tampered with"
expired=$(sign '{"channel":"global","message":{"event":"late"},"exp":1700000000}')
expect "$(request -d "token=$expired" "$broadcast")" '{"error":"Bad signature"} 400'
expect "$(request -d "token=x$(token 8)" "$broadcast")" '{"error":"Bad signature"} 400'

echo "- bare messages with a publisher's token in the header"
publisher=$(sign '{"broadcast":["glob*"]}')
message() {
  echo "{\"channel\":\"$2\",\"message\":{\"event\":\"new_item\",\"data\":\"{\\\"id\\\":$1}\"}}"
}
bearer() {
  request -H "Authorization: Bearer $publisher" "$@" "$broadcast"
}
delivered 8 "$(bearer -d "$(message 8 global)")"
delivered 9 "$(request --oauth2-bearer "$publisher" -d "[$(message 9 global)]" "$broadcast")"
expect "$(bearer -d "$(message 10 other)")" '{"error":"token does not allow channel \"other\""} 403'
answer=$(request --dump-header "$DIRECTORY/head" -o /dev/null -d "$(message 11 global)" "$broadcast")
expect "$answer" ' 401'
expect "$(grep -i '^www-authenticate' "$DIRECTORY/head")" $'WWW-Authenticate: Bearer realm="bifrost"\r'

echo "- HEAD has a head and no body"
head=$(request --head "$info" --next --silent --max-time "$DEADLINE" --output /dev/null --write-out ' %{num_connects}' "$info")
expect "${head##*$'\r\n'}" ' 200 0'
expect "$(grep -ic '^content-type: application/json' <<<"$head")" 1

echo "- what has no answer: another method, another path, no upgrade"
expect "$(request -o /dev/null "$broadcast")" ' 405'
expect "$(request -o /dev/null "http://$ADDRESS/nowhere")" ' 404'
expect "$(request -o /dev/null "http://$ADDRESS/subscribe")" ' 426'

echo "- the numbers"
expect "$(request -o "$DIRECTORY/info" "$info")" ' 200'
expect "$(jq --compact-output '[.stats.deliveries, .stats.connected]' "$DIRECTORY/info")" '[9,1]'
expect "$(jq --raw-output '.stats | keys_unsorted[:2] | join(" ")' "$DIRECTORY/info")" 'deliveries connected'
