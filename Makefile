# Needs Go and make; everything else is in go.mod. `make` alone prints this help.

GO      ?= go
BIN     := bin
RUN     ?=
FUZZ    ?= .
FUZZTIME ?= 1000000x
SEEDS   ?= 10000
SUITES  ?= 20
TRIALS  ?= 20
BENCH   ?=
ROLLING ?=
LEASETRIALS ?= 50
SCALE   ?=
BACKEND ?= multipaxos
PROFILES ?=
POWERLOSS ?=
LEASES  ?=
APPENDS ?=
REPLICATION ?=
# Packages with goroutines of their own, tested once more under the race
# detector. The suite in real time is left out there: it would only be slower.
RACE    ?= ./consensus/... ./internal/fault/... ./master/... ./chunkserver/... ./client/...
RACESKIP := TestSuiteReal|TestSuiteCatchesBugs|TestRecorderIsSilent|TestCompleteBackendIsClean
# What make test leaves to make race besides: much work for the race detector in
# code that other scenarios run too (one core under other switches, large state),
# or that one goroutine does alone (a fault at every step, every byte flipped).
RACEHEAVY := TestSuiteVirtual.+|TestSuiteVirtual/scenarios/(sender-crash|large-snapshot|install-crash-all.*|storm|flapping)|TestSuiteCatchesLyingDisk|^TestInstallSurvivesACrashAtEveryStep$$|^TestPowerCutsAtEveryStep$$|^TestCrash$$|^TestFlipEachByte$$|^TestFlippedBits|^TestTooLarge$$|^TestCopyLimit$$|^TestAgainstTwin$$|^TestListPages$$|^TestQuietBesideManyHidden$$|^TestReplicasComeBack$$
# A busy machine may take long; each test has its own deadline.
TEST := $(GO) test -vet=off -timeout 20m
# How many seeds of random histories of masters make test tries under it.
RACESEEDS := 4
# Those histories, which are tried without it too, with all their seeds.
SEEDED := ^TestChurn|^TestUpkeepChurn$$

.DEFAULT_GOAL := help
.PHONY: help build bench test race fuzz check sim explore suite partial-connectivity mutants rolling lease-reads session soak profiles power-loss lease-throughput append-scaling replication report scale lint fmt generate clean

help: ## print this help
	@echo "usage: make TARGET"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/gfslab and bin/gfslab-virtual
	$(GO) build -buildvcs=auto -o $(BIN)/gfslab ./cmd/gfslab
	$(GO) test -c -o $(BIN)/gfslab-virtual ./harness/virtual

bench: build ## compare all backends, with and without faults; leaves a report (BENCH="--out DIR ...")
	$(BIN)/gfslab bench $(BENCH)

# Every test: those of the packages without goroutines, then those that the
# race detector is left out of, then the others under it. All three always happen;
# make fails if one did. The second, which mostly waits for elections, has six tests
# of a package at a time, and goes on while the third is compiled: it is told last.
# Vet is make lint's, and need not be done twice more.
test: ## run every test, those with goroutines under the race detector
	@status=0; told=$$(mktemp) || exit 1; trap 'rm -f "$$told"' EXIT; \
	raced=$$($(GO) list $(RACE)) && plain=$$($(GO) list ./... | grep -vxF "$$raced") || exit 1; \
	echo "go test, all but $(RACE)"; $(TEST) -parallel 6 $$plain || status=1; \
	{ $(TEST) -p 3 -parallel 6 -run '$(RACESKIP)|$(RACEHEAVY)|$(SEEDED)' $(RACE) >"$$told" 2>&1; } & \
	echo "go test -race $(RACE)"; GFSLAB_CHURN_SEEDS=$(RACESEEDS) $(TEST) -race -skip '$(RACESKIP)|$(RACEHEAVY)' $(RACE) || status=1; \
	wait $$! || status=1; \
	echo "go test $(RACE): what is left out above"; grep -v '\[no test' "$$told"; \
	if [ $$status = 0 ]; then echo "make test: all tests passed"; else echo "make test: FAILED"; fi; exit $$status

race: ## run every test of packages with goroutines under the race detector, the slow ones too (10 minutes)
	$(GO) test -race -skip '$(RACESKIP)' $(RACE)

# One target at a time. Each new input that is interesting is made smaller for up to a
# minute otherwise, again and again, and hardly any other one is tried. A time, like 3m,
# works as well as a count, but where it ends go test may say that it failed: "context
# deadline exceeded".
fuzz: ## fuzz every decoder, or those that match (FUZZ=FuzzScan FUZZTIME=1000000x)
	@for file in $$(git grep -lE '^func Fuzz' -- '*_test.go'); do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]*)\(.*/\1/p' $$file | grep -E -- '$(FUZZ)'); do \
			echo "$$file: $$name"; \
			$(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 1 || exit 1; \
		done; \
	done

check: build ## judge finished runs again (RUN="DIR ...")
	@test -n "$(RUN)" || { echo 'usage: make check RUN="DIR ..."'; exit 64; }
	$(BIN)/gfslab check $(RUN)

report: build ## draw the tables and plots of a bench again (RUN=DIR)
	@test -n "$(RUN)" || { echo 'usage: make report RUN=DIR'; exit 64; }
	$(BIN)/gfslab report $(RUN)

scale: build ## measure a namespace of a million files: memory, snapshots, restart, catch-up (SCALE="--files 100000 ...")
	$(BIN)/gfslab scale $(SCALE)

sim: build ## search both cores in simulated clusters, and the Paxos core in its own simulator (SEEDS=10000)
	$(BIN)/gfslab sim --backend multipaxos --seeds $(SEEDS)
	$(BIN)/gfslab sim --backend etcd-raft --seeds $(SEEDS)
	GFSLAB_SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 2h -v -run 'TestSeeds' ./paxos/paxostest

explore: ## walk every interleaving of the Paxos core in the published small worlds (10 minutes, 6 GiB)
	GFSLAB_EXPLORE=full GOGC=40 $(GO) test -count=1 -timeout 2h -v -run 'TestExplore$$' ./paxos/paxostest

suite: ## search all backends with the behaviour suite in virtual time (SUITES=20)
	@for s in $$(seq 1 $(SUITES)); do \
	  echo "seed $$s"; GFSLAB_SUITE_SEED=$$s $(GO) test -count=1 -run 'TestSuiteVirtual' \
	    ./consensus/unreplicated ./consensus/multipaxos ./consensus/etcdraft ./consensus/hashiraft || exit 1; done

partial-connectivity: build ## cut the network in part, in every backend and mode; who goes on? (TRIALS=20, six minutes)
	$(BIN)/gfslab partial --trials $(TRIALS)

mutants: ## plant known bugs; each must be caught and each fixed twin be silent
	$(GO) run ./harness/mutants/runmutants

rolling: build ## replace all masters under load on every backend, with and without crashes; print the gaps (ROLLING="--runs 8")
	$(BIN)/gfslab rolling $(ROLLING)

lease-reads: ## restart a follower inside the lease: who serves stale reads? (LEASETRIALS=50 a backend and read mode)
	GFSLAB_LEASE_TRIALS=$(LEASETRIALS) $(GO) test -count=1 -timeout 1h -v -run 'TestLeaseReads' ./harness/virtual

session: build ## a new user's session with processes that are killed meanwhile: nothing may be lost (BACKEND=multipaxos)
	scripts/session.sh $(BACKEND)

soak: build ## three minutes of appends, puts and renames while random masters and chunkservers are killed: nothing may be lost (BACKEND=multipaxos)
	scripts/soak.sh $(BACKEND)

profiles: build ## run every workload profile on every backend under a fault, in virtual time (PROFILES="--faults power-loss ...")
	$(BIN)/gfslab profiles $(PROFILES)

power-loss: build ## cut the power of all nodes under load, 50 seeds a backend; count the valid histories (POWERLOSS="--seeds 50")
	$(BIN)/gfslab power-loss $(POWERLOSS)

lease-throughput: build ## append through the death of the leading master, by lease term (LEASES="--runs 5")
	$(BIN)/gfslab lease-throughput $(LEASES)

append-scaling: build ## append with 1 to 16 clients to one file and to N: GFS figure 3c (APPENDS="--runs 3")
	$(BIN)/gfslab append-scaling $(APPENDS)

replication: build ## lose chunkservers and bits; time until every chunk is at its goal (REPLICATION="--runs 3")
	$(BIN)/gfslab replication $(REPLICATION)

lint: ## gofmt, vet, staticcheck, import law and house style
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not gofmt'ed:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -count=1 ./internal/house

fmt: ## gofmt every file
	gofmt -w $$(git ls-files '*.go')

generate: ## regenerate code from .proto files (needs protoc)
	$(GO) generate ./...

clean: ## remove built files
	rm -rf $(BIN)
