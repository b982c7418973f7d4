#!/usr/bin/env bash
# Builds the container image with docker, podman or buildah, the first of them that
# works, and needs no other image. Usage: tools/image.sh NAME [ARCHIVE]
#
#   ARCHS          for which architectures, "amd64 arm64"
#   VERSION        what the program says of itself
#   IMAGE_TOOL     docker, podman or buildah
#
# podman and buildah make one NAME for all architectures, docker one of each,
# NAME-ARCH, and NAME for this machine's. With ARCHIVE all are written there too, as one
# OCI archive. Two builds of one commit give one digest.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?usage: tools/image.sh NAME [ARCHIVE]}
archive=${2:-}
version=${VERSION:-dev}
archs=${ARCHS:-amd64 arm64}
revision=$(git rev-parse HEAD 2>/dev/null || true)
# The time in the image is the commit's.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

works() { # a client of docker without its daemon or without BuildKit's does not
  case $1 in
    docker) docker buildx version | grep docker/buildx && docker info ;;
    *) "$1" info ;;
  esac >/dev/null 2>&1
}
for tool in ${IMAGE_TOOL:-docker podman buildah} none; do
  if [ "$tool" = none ] || works "$tool"; then break; fi
done
if [ "$tool" = none ]; then
  echo "needs ${IMAGE_TOOL:-docker, podman or buildah}; of docker, its daemon and buildx too. On Debian: apt-get install buildah" >&2
  exit 1
fi

# Smaller, for what it costs nobody: gRPC without its page of traces, functions aligned to 16
# bytes on amd64 too.
context=dist/image
for arch in $archs; do
  echo "== compiling for linux/$arch"
  CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS=-buildvcs=false \
    go build -trimpath -tags grpcnotrace -ldflags "-s -w -funcalign=16 -X main.version=$version" -o "$context/$arch/module-controller" ./cmd/module-controller
  chmod 0755 "$context/$arch" "$context/$arch/module-controller"
  touch -d "@$epoch" "$context/$arch/module-controller"
done

args() { # of a build for an architecture
  echo --platform "linux/$1" --build-arg "TARGETARCH=$1" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" -f Dockerfile
}
echo "== building $name with $tool"
case $tool in
docker)
  images=()
  for arch in $archs; do
    SOURCE_DATE_EPOCH=$epoch docker build $(args "$arch") --no-cache --build-arg "SOURCE_DATE_EPOCH=$epoch" --provenance=false -t "$name-$arch" $context
    images+=("$name-$arch")
    [ "$arch" != "$(go env GOHOSTARCH)" ] || docker tag "$name-$arch" "$name"
  done
  [ -z "$archive" ] || docker save -o "$archive" "${images[@]}"
  ;;
*)
  $tool rmi "$name" >/dev/null 2>&1 || true
  $tool manifest rm "$name" >/dev/null 2>&1 || true
  for arch in $archs; do
    # No layers are kept, or podman would take one architecture's for the other's.
    $tool build $(args "$arch") --layers=false --timestamp "$epoch" --manifest "$name" $context
  done
  [ -z "$archive" ] || $tool manifest push --all "$name" "oci-archive:$archive"
  ;;
esac
