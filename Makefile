# Every target works from a clean clone with Go, a C compiler (for the race detector),
# git and make, and says what it waits for; what needs more says so. What is long is
# a target of its own.
SHELL := bash
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
IMAGE ?= module-controller:$(VERSION)
FUZZTIME ?= 5m

.DEFAULT_GOAL := help
.PHONY: help build test test-unit test-acl e2e e2e-alerts e2e-java e2e-argo e2e-top e2e-browser e2e-moving verify demo bench scale peers chaos chaos-mutants mutants fuzz generate image image-check sbom vulncheck control-plane

help: ## print the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

build: ## build bin/module-controller, bin/kubectl-modules and bin/basesim
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

test: test-unit e2e ## what must hold before a change lands, but for real JVMs, a browser, the alerts and Mosquitto; race detector on

# The race detector has election use one processor, for minutes. The schedules use what is left,
# and give way to tests that wait by a real clock. If one fails, make waits for the other and fails.
test-unit: ## the product's own tests
	@echo "== unit tests (building with the race detector: about 3 minutes the first time); beside them 2,000 schedules of faults in synthetic time, 81 of two installations, 201 of members with different environments, 201 with requests of people"
	@$(MAKE) --no-print-directory -j2 test-race test-schedules
	@echo "== tests of the project's tools"
	$(GO) -C tools test ./...

.PHONY: test-race test-schedules
test-race:
	$(GO) test -race -shuffle=on -timeout 30m ./...
test-schedules:
	nice $(GO) test -timeout 60m ./election -args -schedules=2000

test-acl: ## the sample ACLs of brokers, and the conformance suite on them; needs mosquitto
	$(GO) test -race -tags mosquitto -run 'TestTheSample' ./tunnel/mqtt

e2e: control-plane ## the product on a real control plane, with simulated bases; needs Linux with network namespaces
	@cd e2e && $(GO) run ./cmd/controlplane helm
	@echo "== end-to-end tests of pages, versions and helpers (about 5 minutes)"
	cd e2e && $(GO) test -race -shuffle=on -p 2 -timeout 20m $$($(GO) list ./... | grep -v '/suite$$')
	@echo "== end-to-end tests of the product (about 23 minutes; they mostly wait, so four at a time)"
	cd e2e && $(GO) test -race -shuffle=on -parallel 4 -timeout 45m ./suite

e2e-alerts: control-plane ## the alert rules and the dashboard, by Prometheus' own library; each alert fired by its fault
	@echo "== alerts (building Prometheus' library: about 5 minutes the first time, then 3 to run)"
	@cd e2e/alerts && $(GO) mod tidy -diff && $(GO) vet ./... && ../../tools/lint.sh run ./...
	cd e2e/alerts && $(GO) test -timeout 20m ./...

e2e-java: control-plane ## the product with real JVM bases; needs a JDK 17, Maven, and Linux with network namespaces
	@echo "== end-to-end tests on real JVMs (Maven fetches about 200 MB the first time)"
	cd e2e && $(GO) test -tags java -timeout 30m ./javabase ./java ./nodeproxy

e2e-argo: control-plane ## the product under Argo Rollouts' controller; builds that first, 10 minutes
	cd e2e && $(GO) test -v -tags argo -timeout 30m ./argo

e2e-top: control-plane ## kubectl top by metrics-server, of simulated bases and of a JVM; builds that first, 4 minutes; needs what e2e-java does
	cd e2e && $(GO) test -v -tags top -timeout 30m ./top

e2e-browser: control-plane ## the page of the fleet in headless chromium, which must be installed; 10,000 bases too
	cd e2e && $(GO) test -v -tags browser -timeout 30m ./browser

e2e-moving: control-plane ## the move from the real v2.2.0 and back; clones it from GitHub or THEIRS_SOURCE and builds it first, 3 minutes; needs Linux with network namespaces
	cd e2e && $(GO) test -v -tags moving -timeout 40m ./moving

control-plane: ## fetch etcd and Kubernetes once, about a minute, or build them, about 9 in all; cached after that
	@cd e2e && $(RUN_QUICKLY) ./cmd/controlplane

# Built as the control plane is, without cgo and without what only a debugger reads, so
# that what both consist of is compiled once. A compiler that seldom collects its garbage
# is done sooner; what is built then runs as ever.
demo control-plane: export CGO_ENABLED := 0
demo control-plane: export GOFLAGS := $(shell $(GO) env GOFLAGS) -gcflags=all=-dwarf=false
RUN_QUICKLY := GOGC=400 $(GO) run -exec 'env -u GOGC'
demo: ## show the main job on a real control plane: a fleet, a Deployment, a summary
	@echo "== the demo: building its own program (2 to 3 minutes the first time, then nothing)"
	@cd e2e && $(RUN_QUICKLY) ./demo

verify: ## what CI checks: format, vet, linter, tidiness, limits, pages, mutants that apply, generated files
	@echo "== format"; test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	@echo "== vet"; $(GO) vet -tags mosquitto ./... && $(GO) -C tools vet ./... && cd e2e && $(GO) vet ./... && $(GO) vet -tags java,argo,top,browser,moving,scale,peers,chaos ./...
	@echo "== tidy"; $(GO) mod tidy -diff && cd e2e && $(GO) mod tidy -diff
	@echo "== conditions, structs, methods, tests"; $(GO) -C tools run ./conditions -root ..
	@echo "== what the pages name"; $(GO) -C tools run ./docpaths -root ..
	@echo "== mutants"; $(GO) -C tools run ./mutate -root .. -check
	@echo "== generated files (Helm is built once, about 3 minutes)"; $(MAKE) -s generate && git diff --exit-code docs manifests
	@echo "== vulnerabilities"; $(MAKE) -s vulncheck
	@echo "== linter (built once, about 3 minutes)"; ./tools/lint.sh run --build-tags mosquitto ./... && (cd tools && ./lint.sh run ./...) && cd e2e && ../tools/lint.sh run --build-tags java,argo,top,browser,moving,scale,peers,chaos ./...

generate: ## write docs/configuration.md and docs/metrics.md from the code, and the manifests from the chart
	@$(GO) run ./cmd/module-controller reference configuration > docs/configuration.md
	@$(GO) run ./cmd/module-controller reference metrics > docs/metrics.md
	@./manifests/render.sh

bench: ## benchmarks; each compares two things in one run
	$(GO) test -run '^$$' -bench . -benchtime 2s ./...

mutants: ## take one guard after the other out (mutants/), and see a test notice; about 10 minutes
	$(GO) -C tools run ./mutate -root .. -run

scale: control-plane ## measure cold start, pods, steady state, failover, claims, 10,000 bases, 1 and 5 replicas; prints a report
	cd e2e && $(GO) test -tags scale -count=1 -v -timeout 3h ./scale

peers: control-plane ## measure the product beside KWOK and client-go alone, PEERS_NODES (1000) Nodes each; builds KWOK first, 3 minutes
	cd e2e && $(GO) test -tags peers -count=1 -v -timeout 90m ./peers

chaos: control-plane ## faults for CHAOS_FOR (10m), in the order of CHAOS_SEED, under a load of installs
	cd e2e && $(GO) test -tags chaos -count=1 -v -timeout 24h ./chaos

chaos-mutants: mutants control-plane ## those, and the guards that only real connections need
	cd e2e && $(GO) test -tags chaos -count=1 -v -timeout 1h ./mutants

fuzz: ## fuzz every decoder for FUZZTIME (5m) each
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' $$pkg | sed 's/func //'); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done

image: ## build the container image for amd64 and arm64; needs docker, podman or buildah
	VERSION=$(VERSION) ./tools/image.sh $(IMAGE)

image-check: ## build it twice: one digest, one program, no root, under 60 MB; and run it
	@for i in 1 2; do VERSION=$(VERSION) ./tools/image.sh localhost/module-controller:check dist/image-$$i.tar; done
	$(GO) -C tools run ./imagecheck -version $(VERSION) ../dist/image-1.tar ../dist/image-2.tar

sbom: ## write dist/sbom.cdx.json (CycloneDX) and the licences of all that is linked, dist/licences
	@mkdir -p dist
	@CGO_ENABLED=0 GOOS=linux $(GO) -C tools/release tool cyclonedx-gomod app -json -licenses -std -noserial -notimestamp -output-version 1.6 \
	  -main cmd/module-controller -output $(CURDIR)/dist/sbom.cdx.json $(CURDIR)
	@$(GO) -C tools run ./licences -root $(CURDIR) -to $(CURDIR)/dist/licences ./cmd/module-controller

vulncheck: ## look for known vulnerabilities, where their database can be reached
	@$(GO) -C tools run ./vulncheck -root ..
