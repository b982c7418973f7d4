#!/bin/sh
# Pins a Kubernetes version: writes the tool module from which controlplane builds
# its programs. Usage: ./pin-kubernetes.sh 1.37.2
#
# k8s.io/kubernetes replaces the modules it stages by folders of its own repository,
# which its published module does not hold. Here they are replaced by what was
# published of them with that version: v0.37.2 for v1.37.2.
set -eu
cd "$(dirname "$0")"
version=$1
staged=v0.${version#1.}
folder=kubernetes-${version%.*}

mkdir -p "$folder"
cd "$folder"
rm -f go.mod go.sum
export GOWORK=off GOFLAGS=
go mod init "module-controller/e2e/tools/$folder"
go mod edit -require "k8s.io/kubernetes@v$version"
source=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^.*"GoMod": "\(.*\)".*$/\1/p')
for module in $(sed -n 's#^.*\(k8s\.io/[a-z0-9-]*\) => \./staging/.*$#\1#p' "$source"); do
	go mod edit -replace "$module=$module@$staged"
done
# What kubernetes/main.go imports is what these do.
for program in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
	go mod edit -tool "k8s.io/kubernetes/cmd/$program"
done
go mod tidy
../align.sh
