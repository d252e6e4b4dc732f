// A server of gRPC for the tests of the kind grpc: Go's own, with its habits.
//
// It prints its port, obeys lines (`service=STATUS`; `calls` answers with the calls and connections so far), and ends
// with its standard input.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// counts the connections that come.
type counter struct{ calls, connections atomic.Int64 }

func (*counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (*counter) HandleRPC(context.Context, stats.RPCStats)                       {}
func (*counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (c *counter) HandleConn(_ context.Context, event stats.ConnStats) {
	if _, begins := event.(*stats.ConnBegin); begins {
		c.connections.Add(1)
	}
}

func main() {
	network := flag.String("network", "tcp", "tcp or unix")
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	bare := flag.Bool("bare", false, "without the health service")
	token := flag.String("token", "", "what metadata must say: authorization: Bearer <token>")
	key := flag.String("key", "", "a key in PEM")
	chain := flag.String("chain", "", "its certificates in PEM")
	maxAge := flag.Duration("max-age", 0, "how old a connection becomes")
	pings := flag.Duration("pings", 5*time.Minute, "how long a client has to wait between pings")
	flag.Parse()

	seen := &counter{}
	options := []grpc.ServerOption{
		grpc.StatsHandler(seen),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: *maxAge, MaxConnectionAgeGrace: time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: *pings}),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			seen.calls.Add(1)
			if *token != "" {
				said := metadata.ValueFromIncomingContext(ctx, "authorization")
				if len(said) != 1 || said[0] != "Bearer "+*token {
					return nil, status.Errorf(codes.Unauthenticated, "not %q", said)
				}
			}
			return next(ctx, request)
		}),
	}
	if *key != "" {
		certificate, err := tls.LoadX509KeyPair(*chain, *key)
		check(err)
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	}
	server := grpc.NewServer(options...)
	service := health.NewServer()
	if !*bare {
		healthpb.RegisterHealthServer(server, service)
	}
	listener, err := net.Listen(*network, *address)
	check(err)
	go func() { check(server.Serve(listener)) }()
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
		fmt.Println(tcp.Port)
	} else {
		fmt.Println(0)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if name, state, ok := strings.Cut(lines.Text(), "="); ok {
			service.SetServingStatus(name, healthpb.HealthCheckResponse_ServingStatus(healthpb.HealthCheckResponse_ServingStatus_value[state]))
			fmt.Println("set")
		} else {
			fmt.Println(seen.calls.Load(), seen.connections.Load())
		}
	}
	server.Stop()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
