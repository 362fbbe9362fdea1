#!/usr/bin/env bash
# A soak with a cell of processes: clients append, put and rename while random masters
# and chunkservers are killed with kill -9, never more than one of each at once. It ends
# with an error if anything that was acknowledged is lost, or chunks stay below their
# goal.
#
# usage: scripts/soak.sh [BACKEND]      (GFSLAB=path SECONDS_OF_LOAD=180 PORT=first SEED=1
#        KEEP=folder for the cell's data, which then stays)
set -euo pipefail

gfslab=${GFSLAB:-bin/gfslab} load=${SECONDS_OF_LOAD:-180} port=${PORT:-$((21001 + 400 * ($$ % 28)))} backend=${1:-multipaxos} RANDOM=${SEED:-1}
masters=127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))
export GFSLAB_MASTERS=$masters
work=$(mktemp -d)
cell=${KEEP:-$work/cell}
up= clients=()

finish() {
  code=$?
  touch "$work/stop"
  test -z "$up" || { kill -INT "$up" 2>/dev/null && wait "$up" || true; }
  if [ $code = 0 ]; then rm -rf "$work"; else echo "soak: FAILED; what the cell and its clients said is in $work" >&2; fi
  exit $code
}
trap finish EXIT
fail() { echo "soak: $*" >&2; exit 1; }

ready() { grep -c "^\[$1\] ready:" "$work/up.err" || true; }
kill_node() { # kill_node NODE: kill -9, and wait until it serves again
  local pid before
  before=$(ready "$1")
  pid=$(sed -n "s/^\[$1\] process \([0-9]*\)\$/\1/p" "$work/up.err" | tail -1)
  kill -9 "$pid"
  for _ in $(seq 300); do
    test "$(ready "$1")" -le "$before" || return 0
    sleep 0.1
  done
  touch "$work/stop"
  echo "soak: $1 did not come back in 30 s" >&2
  return 1
}
killer() { # killer KIND PAUSE: kills nodes of one kind until the load is over
  local n=0 node
  while ! test -e "$work/stop"; do
    sleep $((RANDOM % $2 + 1)).$((RANDOM % 10))
    node=$1$((RANDOM % 3 + 1))
    kill_node "$node"
    n=$((n + 1))
  done
  echo "$n" > "$work/killed.$1"
}

appender() { # appender N: appends numbered lines, and keeps what was acknowledged
  local i=0
  while ! test -e "$work/stop"; do
    i=$((i + 1))
    echo "client $1 line $i $(printf '%0*d' $((RANDOM % 4000 + 1)) 0)"
    sleep 0.01
  done | tee "$work/sent.$1" | "$gfslab" fs append --lines -v --timeout 60s "/soak/log$(($1 % 2))" > "$work/acked.$1" 2> "$work/append.$1.err"
}
putter() { # putter N: puts files of up to 12 MB, renames each, removes some
  local i=0 name
  while ! test -e "$work/stop"; do
    i=$((i + 1)) name=$1.$i
    head -c $(((RANDOM % 120 + 1) * 100000)) /dev/urandom > "$work/file.$1"
    sum=$(sha256sum < "$work/file.$1")
    "$gfslab" fs put -q --timeout 60s "$work/file.$1" "/soak/new.$name"
    "$gfslab" fs mv --timeout 60s "/soak/new.$name" "/soak/done.$name"
    if [ $((RANDOM % 4)) = 0 ]; then
      "$gfslab" fs rm --timeout 60s "/soak/done.$name"
    else
      echo "$name ${sum%% *}" >> "$work/put.$1"
    fi
  done > /dev/null 2> "$work/put.$1.err"
}

echo "soak: $backend, $load s of load, seed ${SEED:-1}"
"$gfslab" up --data "$cell" --port "$port" --backend "$backend" --log-level warn ${UPFLAGS:-} > "$work/up.out" 2> "$work/up.err" &
up=$!
for _ in $(seq 600); do
  ! grep -q '^ready:' "$work/up.out" || break
  kill -0 "$up" 2>/dev/null || fail "gfslab up ended"
  sleep 0.1
done
"$gfslab" fs mkdir /soak
for c in 1 2 3 4; do appender $c & clients+=($!); done
for c in 1 2; do putter $c & clients+=($!); done
killer master 6 & clients+=($!)
killer chunkserver 6 & clients+=($!)
for _ in $(seq "$load"); do test -e "$work/stop" || sleep 1; done
touch "$work/stop"
for p in "${clients[@]}"; do wait "$p" || { cat "$work"/*.[0-9].err >&2; fail "a client or killer ended with an error"; }; done
echo "killed: $(cat "$work/killed.master") masters, $(cat "$work/killed.chunkserver") chunkservers"

for _ in $(seq 120); do
  ! "$gfslab" fs health > "$work/health" 2>&1 || break
  sleep 1
done
"$gfslab" fs health > "$work/health" || { cat "$work/health"; fail "chunks stay below their goal"; }
for log in 0 1; do
  "$gfslab" fs cat "/soak/log$log" | sort > "$work/found.$log"
  test -z "$(uniq -d "$work/found.$log")" || fail "a record is read twice in log$log"
done
for c in 1 2 3 4; do
  test "$(wc -l < "$work/acked.$c")" = "$(wc -l < "$work/sent.$c")" || fail "client $c: not every line was acknowledged"
  lost=$(sort "$work/sent.$c" | comm -23 - "$work/found.$((c % 2))" | wc -l)
  test "$lost" = 0 || fail "client $c: $lost acknowledged records are lost"
done
test "$(sort "$work"/found.? | wc -l)" = "$(cat "$work"/sent.? | wc -l)" || fail "records were made up"
while read -r name sum; do
  "$gfslab" fs get -q -f "/soak/done.$name" "$work/back"
  test "$(sha256sum < "$work/back")" = "$sum  -" || fail "done.$name came back altered"
done < <(cat "$work"/put.[0-9])
echo "$(cat "$work"/sent.? | wc -l) records and $(cat "$work"/put.[0-9] | wc -l) files are there; longest pauses of appends: $(sed -n 's/^longest pause \([^,]*\),.*/\1/p' "$work"/append.?.err | tr '\n' ' ')"
echo "soak: nothing was lost"
