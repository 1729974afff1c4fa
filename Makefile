# Respite: `make` lists the targets. ARGS="…" is handed to the program that a target runs.

TARGET := $(or $(CARGO_TARGET_DIR),target)
# rustup's folder, for shells that have not read its environment file.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test test-versions coherence bus-faults bus-simulation fleet-simulation faults soak load check bench bench-bus bench-cluster bench-fleet bench-instructions bench-failover bench-gateway bench-latency bench-mixtures bench-reads bench-subscribers bench-users fuzz deny deb

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what `make run` needs: a redis-server
	@sh scripts/setup.sh run

run: setup ## build and serve on 127.0.0.1:7379; ARGS="--listen 127.0.0.1:7000" and so on
	cargo build --release --locked
	@exec $(TARGET)/release/respite serve $(ARGS)

test: ## run every test; ARGS="name" picks some
	@sh scripts/setup.sh test
	cargo test --locked $(ARGS)

test-versions: ## run every test that needs a Redis on the oldest and the newest one supported, and on Valkey; ARGS="name" picks some
	@sh scripts/setup.sh test
	@sh scripts/versions.sh $(ARGS)

# A rule whose order of events only a unit test can force: it has to pass, and to fail without the rule.
LEASE := a_new_connections_proof_does_not_vouch

coherence: ## random clients and faults against the promises of the cache, a minute; COHERENCE_SECONDS=n per scenario
	@sh scripts/setup.sh test
	-@sh scripts/versions.sh --fetch
	COHERENCE_SECONDS=$${COHERENCE_SECONDS:-4} cargo test --locked --features mutants --test respite \
		coherence:: -- --nocapture --test-threads=2 $(ARGS)
	$(if $(ARGS),,cargo test --locked --features mutants --lib $(LEASE))
	$(if $(ARGS),,! MUTANT=epoch_before_lease cargo test --locked --features mutants --lib $(LEASE) >$(TARGET)/lease.log 2>&1 \
		&& echo "coherence mutant epoch_before_lease: caught by $(LEASE)")

bus-faults: ## workers of the bus killed at random, and Respites, a minute for each kind of method; BUS_FAULT_SECONDS=n
	@sh scripts/setup.sh test
	BUS_FAULT_SECONDS=$${BUS_FAULT_SECONDS:-60} cargo test --locked --test respite \
		bus::faults:: -- --nocapture --test-threads=1 $(ARGS)

fleet-simulation: ## a simulated fleet of 100 Respites and 10,000 shards, minutes of it; FLEET_SIMULATION=RESPITESxSHARDS
	FLEET_SIMULATION=$${FLEET_SIMULATION:-100x10000} cargo test --locked --lib share::simulation::no_shard -- --nocapture

bus-simulation: ## ten thousand simulated lives of two Respites between callers and workers, with failures at every step; BUS_SIMULATIONS=n, RESPITE_SEED=n
	BUS_SIMULATIONS=$${BUS_SIMULATIONS:-10000} cargo test --locked --lib bus::remote::testing -- --nocapture

faults: ## what production does to a backing and a network, before clients that know every reply; writes docs/reliability.md; ARGS="name" shows some
	@sh scripts/setup.sh test
	FAULTS=$(if $(ARGS),show,write) FAULTS_ONLY="$(ARGS)" cargo test --locked --test respite \
		faults::table -- --nocapture

soak: ## everything at once with a fault every few seconds, ten minutes; SOAK_SECONDS=n; ARGS=--write puts it into docs/reliability.md
	@sh scripts/setup.sh test
	SOAK=$(if $(ARGS),write,show) SOAK_SECONDS=$${SOAK_SECONDS:-600} cargo test --locked --test respite \
		faults::soak -- --nocapture

load: ## what crowds, floods and gluttons cost others; ARGS="--write" puts it into docs/reliability.md
	@sh scripts/setup.sh bench
	cargo build --release --locked --bin respite
	@python3 benches/load/run.py $(TARGET)/release/respite $(ARGS)

fuzz: ## everything that reads what others write, a minute each; ARGS="request reply", FUZZ_SECONDS=n
	@sh scripts/setup.sh fuzz
	@sh scripts/fuzz.sh $(ARGS)

deny: ## licences, sources and bans of what it is built from; advisories where their database can be had
	@sh scripts/setup.sh deny
	cargo deny --locked check bans licenses sources
	-cargo deny --locked check advisories

deb: ## a Debian package, in target/debian
	@sh scripts/setup.sh deb
	cargo build --release --locked --bin respite
	@mkdir -p $(TARGET)/packaged/man
	$(TARGET)/release/respite man $(TARGET)/packaged/man
	$(TARGET)/release/respite completions bash >$(TARGET)/packaged/respite.bash
	$(TARGET)/release/respite completions zsh >$(TARGET)/packaged/_respite
	$(TARGET)/release/respite completions fish >$(TARGET)/packaged/respite.fish
	cargo deb --no-build --locked $(ARGS)
	@sh scripts/check-deb.sh

check: ## formatting, lints and documentation, warnings refused
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items

bench: ## compare with direct Redis and its peers; writes docs/benchmarks.md; ARGS="--quick"
	@sh scripts/setup.sh bench
	@ulimit -n 16384 2>/dev/null || true; \
	cargo bench --locked --bench compare -- --write $(ARGS)

bench-subscribers: ## ten thousand subscribers, beside direct Redis; ARGS="--write" puts them into docs/performance.md
	@sh scripts/setup.sh bench
	@ulimit -n "$$(ulimit -Hn)" 2>/dev/null || true; \
	cargo bench --locked --bench subscribers -- $(ARGS)

bench-latency: ## one command at a time by few clients, at a rate, and over long ways; ARGS="--write" puts it into docs/performance.md
	@sh scripts/setup.sh bench
	cargo bench --locked --bench latency -- $(ARGS)

bench-mixtures: ## skewed keys, many and short connections, large values, workers, RESP3, BLPOP, beside direct Redis; ARGS="--quick", "--only ROW", "--write" into docs/performance.md
	@sh scripts/setup.sh bench
	@ulimit -n "$$(ulimit -Hn)" 2>/dev/null || true; \
	cargo bench --locked --bench mixtures -- $(ARGS)

bench-reads: ## reads of every kind from the cache, beside direct Redis; ARGS="--write" puts them into docs/cache.md
	@sh scripts/setup.sh bench
	cargo bench --locked --bench reads -- $(ARGS)

bench-bus: ## round trips of the bus beside lists by hand; ARGS="--write" puts them and a million calls into docs/bus.md
	@sh scripts/setup.sh bench
	cargo bench --locked --bench bus -- $(ARGS)

bench-cluster: ## a Redis Cluster behind, beside Envoy and without a proxy; ARGS="--write" puts it into docs/cluster.md
	@sh scripts/setup.sh bench
	cargo build --release --locked --bin respite
	@python3 benches/cluster/run.py $(TARGET)/release/respite $(ARGS)

bench-fleet: ## ten thousand simulated shards, and INFO beside GET; ARGS="--write" puts it into docs/fleet.md
	@sh scripts/setup.sh bench
	@ulimit -n "$$(ulimit -Hn)" 2>/dev/null || true; \
	cargo bench --locked --bench fleet -- $(ARGS)

bench-instructions: ## what a command costs, counted by callgrind; ARGS="--write" puts it into docs/performance.md
	@sh scripts/setup.sh bench
	cargo build --release --locked --bin respite
	@python3 benches/instructions/run.py $(TARGET)/release/respite $(ARGS)

bench-users: ## what a login as a user of the backing costs; ARGS="--write" puts it into docs/access.md
	@sh scripts/setup.sh bench
	cargo build --release --locked --bin respite
	@python3 benches/users/run.py $(TARGET)/release/respite $(ARGS)

bench-failover: ## how long clients wait when sentinels fail over; ARGS="--write" puts it into docs/reliability.md
	@sh scripts/setup.sh bench
	cargo build --release --locked --bin respite
	@python3 benches/failover/run.py $(TARGET)/release/respite $(ARGS)

bench-gateway: ## the gateway beside HAProxy, with wrk; ARGS="ROUNDS SECONDS"
	@sh scripts/setup.sh bench
	cargo build --release --locked --bin respite
	@sh benches/gateway/run.sh $(ARGS)
