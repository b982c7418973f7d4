package probes

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
)

func (m maker) grpc(ctx context.Context, q question, to *corev1.GRPCAction) finding {
	var refused atomic.Pointer[error] // why there was no connection: the client tells it in its own words
	connect := func(_ context.Context, address string) (net.Conn, error) {
		conn, err := m.connect(ctx, "tcp", address)
		if err != nil {
			refused.Store(&err)
		}
		return conn, err
	}
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(q.ip, strconv.Itoa(int(to.Port))),
		grpc.WithContextDialer(connect), grpc.WithNoProxy(), grpc.WithTransportCredentials(credentialsOf(to)), grpc.WithUserAgent(userAgent),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithMaxHeaderListSize(maxHeader),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxBody)))
	if err != nil {
		return finding{unknown, err.Error()}
	}
	defer func() { _ = conn.Close() }()
	service := ""
	if to.Service != nil {
		service = *to.Service
	}
	is, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
	if err == nil {
		return judgeHealth(is.GetStatus())
	}
	if why := refused.Load(); why != nil {
		return finding{failure(ctx, *why), fmt.Sprintf("error: failed to connect service at %q: %s", net.JoinHostPort(q.ip, strconv.Itoa(int(to.Port))), stable((*why).Error()))}
	}
	return refusal(ctx, err, q)
}

func credentialsOf(to *corev1.GRPCAction) credentials.TransportCredentials {
	if to.Mode != nil && *to.Mode == corev1.GRPCProbeModeTLS {
		return credentials.NewTLS(unverified())
	}
	return insecure.NewCredentials()
}

func judgeHealth(is healthv1.HealthCheckResponse_ServingStatus) finding {
	if is == healthv1.HealthCheckResponse_SERVING {
		return finding{outcome: passed}
	}
	return finding{failed, fmt.Sprintf("service unhealthy (responded with %q)", is)}
}

// refusal says what an error of the health service means.
func refusal(ctx context.Context, err error, q question) finding {
	switch status.Code(err) {
	case codes.Unimplemented:
		return finding{failed, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + status.Convert(err).Message()}
	case codes.DeadlineExceeded: // also while nobody has answered the connect
		return finding{failure(ctx, context.DeadlineExceeded), fmt.Sprintf("timeout: health rpc did not complete within %s", q.timeout)}
	default:
		return finding{failure(ctx, err), "error: health rpc probe failed: " + stable(status.Convert(err).Message())}
	}
}
