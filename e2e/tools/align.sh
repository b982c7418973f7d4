#!/bin/sh
# Has e2e and the tool modules require, of what the product requires too, the product's
# versions, wherever what they are built of permits it. A machine that never built anything
# compiles a package once then: one that differs anywhere below it is another one, and what
# everything imports, such as golang.org/x/net, doubles nearly all of Kubernetes' client.
# Run it whenever the product's go.mod has changed. Kubernetes is built anew after that.
#
# Left out are the older Kubernetes, KWOK and metrics-server: their Kubernetes' modules are
# others anyway.
set -eu
cd "$(dirname "$0")/../.."
versions=$(awk '$1 == "require" { $1 = ""; $0 = $0 } NF >= 2 && $2 ~ /^v[0-9]/ { print $1 "@" $2 }' go.mod)
newest=$(ls -d e2e/tools/kubernetes-1.* | sort -V | tail -n 1)
export GOWORK=off GOFLAGS=
for folder in e2e e2e/tools/etcd e2e/tools/helm "$newest"; do
	(
		cd "$folder"
		for version in $versions; do
			if grep -qE "^(require)?[[:space:]]+${version%@*} v" go.mod; then
				go mod edit -require "$version"
			fi
		done
		go mod tidy
	)
done
# What judges the alerts requires e2e, and what that requires.
go -C e2e/alerts mod tidy
