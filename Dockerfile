# Build with BuildKit, for one platform or several:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v1 -t IMAGE .
#
# Images are named by tag: pass GO_IMAGE and RUNTIME_IMAGE with their digests (…@sha256:…)
# for a build that can be repeated. The version of Go is go.mod's.
ARG GO_IMAGE=golang:1.26.8
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY cmd cmd
COPY election election
COPY internal internal
COPY provider provider
COPY shard shard
COPY tunnel tunnel
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /module-controller ./cmd/module-controller

FROM ${RUNTIME_IMAGE}
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="module-controller" \
      org.opencontainers.image.description="Koupleless bases as virtual Kubernetes Nodes, their modules as Pods" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /module-controller /module-controller
USER 65532:65532
ENTRYPOINT ["/module-controller"]
