#!/usr/bin/env bash
# A new user's session with a cell of processes: put a large file, append from eight
# shells at once, snapshot, move, delete, undelete, get. Meanwhile the leading master
# and a chunkserver are killed with kill -9. It ends with an error if anything that
# was acknowledged is lost, and prints how long each step took and what paused.
#
# usage: scripts/session.sh [BACKEND]      (GFSLAB=path SIZE=MB RECORDS=a shell PORT=first
#        UPFLAGS="flags of gfslab up")
set -euo pipefail

gfslab=${GFSLAB:-bin/gfslab} size=${SIZE:-300} records=${RECORDS:-150} port=${PORT:-$((21001 + 400 * ($$ % 28)))} backend=${1:-multipaxos}
masters=127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))
export GFSLAB_MASTERS=$masters
work=$(mktemp -d)
up=

finish() {
  code=$?
  test -z "$up" || { kill -INT "$up" 2>/dev/null && wait "$up" || true; }
  if [ $code = 0 ]; then rm -rf "$work"; else echo "session: FAILED; what the cell said is in $work/up.err" >&2; fi
  exit $code
}
trap finish EXIT

now() { date +%s.%N; }
since() { echo "$1 $(now)" | awk '{ printf "%.2f s", $2 - $1 }'; }
step() { # step WHAT COMMAND...: runs it, and prints how long it took and what it said of pauses
  local what=$1 begin
  shift
  begin=$(now)
  "$@" > "$work/step.out" 2> "$work/step.err" || { echo "session: $what: exit $?"; cat "$work/step.out" "$work/step.err"; return 1; }
  printf '%-46s %s\n' "$what" "$(since "$begin")"
  { grep -i pause "$work/step.err" || true; } | sed 's/^/    /'
}
fail() { echo "session: $*" >&2; exit 1; }
pid_of() { sed -n "s/^\[$1\] process \([0-9]*\)\$/\1/p" "$work/up.err" | tail -1; }
leader() { "$gfslab" cluster status --endpoints "$masters" --json | tr -d ' \n' | grep -o '"node":[0-9]*[^{}]*"role":"leader"' | grep -o '^"node":[0-9]*' | cut -d: -f2; }

start() {
  "$gfslab" up --data "$work/cell" --port "$port" --backend "$backend" ${UPFLAGS:-} > "$work/up.out" 2>> "$work/up.err" &
  up=$!
  for _ in $(seq 600); do
    grep -q '^ready:' "$work/up.out" && return
    kill -0 "$up" 2>/dev/null || fail "gfslab up ended"
    sleep 0.1
  done
  fail "no ready line in a minute"
}

append() { # append SHELL: a shell that appends its lines, and keeps what was acknowledged
  for i in $(seq "$records"); do
    echo "shell $1 line $i"
    sleep 0.02
  done | "$gfslab" fs append --lines -v /data/log 2> "$work/append.$1.err" |
    while read -r acked; do echo "$EPOCHREALTIME $acked"; done > "$work/acked.$1"
}

kill_leader() {
  local lead
  lead=$(leader)
  kill -9 "$(pid_of "master$lead")"
  echo "kill -9 master$lead, the leader"
}

echo "session: $backend, a file of $size MB, 8 shells with $records records each"
begin=$(now)
start
printf '%-46s %s\n' "gfslab up: a leader serves all chunkservers" "$(since "$begin")"
head -c "${size}000000" /dev/urandom > "$work/big"
want=$(sha256sum < "$work/big")
step "mkdir /data" "$gfslab" fs mkdir /data
{ sleep 0.7; kill_leader; } &
step "put $size MB" "$gfslab" fs put -q "$work/big" /data/big
wait $!

shells=()
for s in 1 2 3 4 5 6 7 8; do append $s & shells+=($!); done
sleep 0.5
kill_leader
step "snapshot /data /then" "$gfslab" fs snapshot /data /then
kill -9 "$(pid_of chunkserver2)"
echo "kill -9 chunkserver2"
step "mv /data/big /data/large" "$gfslab" fs mv /data/big /data/large
step "rm /data/large" "$gfslab" fs rm /data/large
! "$gfslab" fs stat /data/large > "$work/stat.out" 2>&1 || fail "a deleted file is still there"
step "undelete /data/large" "$gfslab" fs undelete /data/large
for i in "${!shells[@]}"; do
  wait "${shells[$i]}" || { cat "$work/append.$((i + 1)).err"; fail "shell $((i + 1)) ended with an error"; }
  { grep -i pause "$work/append.$((i + 1)).err" || true; } | sed "s/^/    shell $((i + 1)): /"
done
echo "8 shells have appended; longest time between two acknowledgements (20 ms apart undisturbed):"
for s in 1 2 3 4 5 6 7 8; do
  awk -v s=$s 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 } END { printf "    shell %d: %.0f ms, %d acknowledged\n", s, 1000 * most, NR }' "$work/acked.$s"
done

check() { # check WHEN: everything that was acknowledged is there
  step "get /data/large $1" "$gfslab" fs get -q -f /data/large "$work/back"
  test "$(sha256sum < "$work/back")" = "$want" || fail "the file came back altered"
  step "get /then/big $1" "$gfslab" fs get -q -f /then/big "$work/back"
  test "$(sha256sum < "$work/back")" = "$want" || fail "the snapshot's file came back altered"
  step "cat /data/log $1" "$gfslab" fs cat /data/log
  sort -u "$work/step.out" > "$work/found"
  for s in 1 2 3 4 5 6 7 8; do for i in $(seq "$records"); do echo "shell $s line $i"; done; done | sort > "$work/appended"
  cmp "$work/found" "$work/appended" || fail "records were lost or made up: $(comm -13 "$work/found" "$work/appended" | wc -l) are missing, $(comm -23 "$work/found" "$work/appended" | wc -l) too many"
}
check "after the kills"

kill -INT "$up"
wait "$up" || fail "gfslab up did not end cleanly: exit $?"
: > "$work/up.out"
begin=$(now)
start
printf '%-46s %s\n' "gfslab up over the same folder" "$(since "$begin")"
check "after a restart"
echo "session: nothing was lost"
