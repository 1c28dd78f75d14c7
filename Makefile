# `make` alone lists what there is. Everything that is downloaded or built lands in target/ and .cache/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export FAIRLEAD_CACHE := $(CURDIR)/.cache
LAB := $(CARGO_TARGET_DIR)/debug/fairlead-lab
IMAGE := $(CARGO_TARGET_DIR)/debug/fairlead-image
VERSION := 0.1.0
TRIPLE := x86_64-unknown-linux-gnu
PLUGIN := $(CARGO_TARGET_DIR)/static/$(TRIPLE)/plugin/fairlead-cni
# Host ports, which one of the conformance tests is about.
PORTMAP := --set 'cni.extraPlugins[0].type=portmap' --set 'cni.extraPlugins[0].capabilities.portMappings=true'

.PHONY: help
help: ## List the targets
	@echo "Fairlead: targets of this Makefile"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: demo
demo: lab image ## Bring up three nodes in two subnets, install Fairlead by its chart, show what works
	@echo "== demo: a cluster of three nodes in two subnets, the chart on it, and what works"
	@$(LAB) demo --subnets 2 --mode vxlan
	@$(MAKE) demo-storage

.PHONY: demo-storage
demo-storage: ## Show volumes on LVM, in a machine with device-mapper: made, snapshot, restored, grown, after a power failure
	@e2e/tools/machine.sh
	@e2e/tools/vm.sh
	@echo "== demo-storage: a machine with two disks, the driver, and what volumes live through"
	@cargo build --quiet --package fairlead-e2e-vm --package fairlead-e2e-tests --package fairlead-csi-driver --bins
	@$(CARGO_TARGET_DIR)/debug/fairlead-storage-demo

.PHONY: demo-down
demo-down: ## Take the demonstration down
	@echo "== demo-down: removing the demonstration's cluster"
	@if [ -x $(LAB) ]; then $(LAB) down; else echo "fairlead-lab was not built here: there is nothing to take down"; fi

.PHONY: test
test: ## Run all tests: unit, kernel, chart, real cluster
	@exec e2e/test.sh

.PHONY: conformance
conformance: lab image ## Run every [sig-network] conformance test of Kubernetes, and what takes long: outage, churn, change of mode
	@echo "== conformance: 10,000 pods that send from their first instant under a policy"
	@FAIRLEAD_POD_STARTS=10000 cargo test --quiet --package fairlead-agent --test policy -- --exact \
	  leak::pods_that_send_from_their_first_instant_leak_nothing_and_lose_nothing_after_add
	@echo "== conformance: 500 power failures of a storage node, its driver and LVM worker killed 200 times each, its disk as it"
	@echo "   was at 200 points when the power fails, and one that fails 40 times for a while: two hours and a half"
	@e2e/tools/host.sh
	@cargo build --quiet --package fairlead-e2e-vm --package fairlead-e2e-tests --package fairlead-csi-driver --bins
	@FAIRLEAD_CRASHES=500 FAIRLEAD_KILLS=200 FAIRLEAD_REPLAYS=200 FAIRLEAD_DISK_ERRORS=40 \
	  cargo test --quiet --package fairlead-e2e-tests --test storage -- --ignored crash:: kills:: power:: errors::
	@echo "== conformance: 4,000 volumes in the metadata area that is advised, what 40 random volume groups hold"
	@FAIRLEAD_VOLUMES=4000 FAIRLEAD_GROUPS=40 cargo test --quiet --package fairlead-e2e-tests --test storage -- \
	  --ignored area:: capacity::on_random capacity::a_thin
	@FAIRLEAD_GROUPS=2 cargo test --quiet --package fairlead-e2e-tests --test storage -- --ignored capacity::sums_have
	@echo "== conformance: 1,000 volumes at a reboot, a disk that comes a minute late, and five minutes on a host with udev,"
	@echo "   dmeventd and an administrator at work: half an hour"
	@FAIRLEAD_VOLUMES=1000 FAIRLEAD_LATE_SECONDS=60 FAIRLEAD_HOST_SECONDS=300 cargo test --quiet --package fairlead-e2e-tests \
	  --test storage -- --ignored reboots:: host::
	@echo "== conformance: 1,000 group snapshots of volumes that are written to; death of driver and worker at every step of one"
	@FAIRLEAD_GROUP_SNAPSHOTS=1000 FAIRLEAD_GROUP_STEPS=1 cargo test --quiet --package fairlead-e2e-tests --test storage -- \
	  --ignored groups::
	@echo "== conformance: 1,000 pods that come and go, all of upstream's tests of NetworkPolicy"
	@echo "   that need no SCTP socket, a change of mode, ten minutes without API server, upstream's [sig-network]"
	@echo "   conformance tests, how soon pods of other nodes let a new pod in, and 10,000 Pod objects,"
	@echo "   in mode vxlan over two subnets: about an hour and a half"
	@e2e/tools/build.sh cni e2e coredns
	@$(IMAGE) lab >/dev/null
	@$(LAB) --name conformance down
	@trap '$(LAB) --name conformance down' EXIT; \
	  $(LAB) --name conformance up --subnets 2 --plugins portmap; \
	  $(LAB) --name conformance churn --mode vxlan; \
	  $(LAB) --name conformance install --mode vxlan; \
	  $(LAB) --name conformance policy-tests --all --procs 3; \
	  $(LAB) --name conformance trial mode-change; \
	  $(LAB) --name conformance install --mode vxlan $(PORTMAP); \
	  $(LAB) --name conformance trial api-outage --minutes 10; \
	  $(LAB) --name conformance conformance; \
	  $(LAB) --name conformance trial policy-start; \
	  $(LAB) --name conformance trial api-load

.PHONY: bench
bench: ## Measure against the reference plugins, as ratios
	@e2e/tools/machine.sh
	@echo "== bench: our plugins and the reference's, the CSI driver and LVM's commands, side by side"
	@e2e/tools/build.sh cni
	@$(MAKE) plugin bench-programs
	@FAIRLEAD_CNI=$(PLUGIN) cargo run --release --package fairlead-e2e-benches

.PHONY: bench-storage
bench-storage: bench-programs ## Measure the CSI driver alone, against LVM's commands
	@cargo run --release --package fairlead-e2e-benches -- --only storage

.PHONY: bench-programs
bench-programs:
	@e2e/tools/machine.sh build
	@e2e/tools/vm.sh
	@cargo build --release --package fairlead-agent --package fairlead-csi-driver --package fairlead-e2e-vm

.PHONY: lint
lint: ## Check formatting and lints
	@e2e/tools/machine.sh build
	@echo "== lint: cargo fmt"
	@cargo fmt --check
	@echo "== lint: cargo clippy"
	@cargo clippy --workspace --all-targets --quiet -- -D warnings

.PHONY: image
image: plugin ## Build the container image as a tarball, without a registry
	@echo "== image: the agent and the command line program"
	@cargo build --release --package fairlead-agent --package fairlead-cli
	@cargo build --package fairlead-e2e-image --quiet
	@echo -n "== image: .cache/image/fairlead.tar "
	@$(IMAGE) fairlead --plugin $(PLUGIN) \
	  --agent $(CARGO_TARGET_DIR)/release/fairlead-agent --cli $(CARGO_TARGET_DIR)/release/fairlead \
	  --reference ghcr.io/fairlead/fairlead:$(VERSION) --reference ghcr.io/fairlead/fairlead:dev \
	  --out .cache/image/fairlead.tar

.PHONY: plugin
plugin: ## Build the CNI plugin, one static program
	@e2e/tools/machine.sh build
	@echo "== plugin: the static CNI program"
	@RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile plugin --package fairlead-cni-plugin \
	  --bin fairlead-cni --target $(TRIPLE) --target-dir $(CARGO_TARGET_DIR)/static

.PHONY: tools
tools: ## Fetch and build what the lab runs on: Kubernetes, etcd, containerd, helm
	@e2e/tools/machine.sh
	@echo "== tools: once 10 to 20 minutes on two cores, then nothing"
	@e2e/tools/debs.sh
	@e2e/tools/build.sh kubernetes charts

.PHONY: lab
lab: tools ## Build the lab itself and the images that its pods use
	@echo "== lab: the lab's own program and its images"
	@cargo build --package fairlead-e2e-cluster --package fairlead-e2e-image
	@$(IMAGE) lab >/dev/null
