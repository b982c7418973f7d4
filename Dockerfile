FROM golang:1.26 AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY election election
COPY provider provider
COPY shard shard
COPY tunnel tunnel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /module-controller ./cmd/module-controller

FROM gcr.io/distroless/static:nonroot
COPY --from=build /module-controller /module-controller
USER 65532:65532
ENTRYPOINT ["/module-controller"]
