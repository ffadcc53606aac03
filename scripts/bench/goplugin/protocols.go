package main

import (
	"context"
	"net/rpc"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// By net/rpc.

type rpcPlugin struct{}

func (*rpcPlugin) Server(*plugin.MuxBroker) (any, error) { return &rpcServer{}, nil }
func (*rpcPlugin) Client(_ *plugin.MuxBroker, c *rpc.Client) (any, error) {
	return &rpcClient{c}, nil
}

type rpcServer struct{}

func (*rpcServer) Noop(n int, reply *int) error {
	*reply = n
	return nil
}

type rpcClient struct{ c *rpc.Client }

func (r *rpcClient) Noop(n int) (reply int, err error) {
	err = r.c.Call("Plugin.Noop", n, &reply)
	return reply, err
}

// By gRPC, with the service described by hand, as protoc would.

type grpcPlugin struct{ plugin.NetRPCUnsupportedPlugin }

type grpcServer struct{}

const noopMethod = "/bench.Plugin/Noop"

var service = grpc.ServiceDesc{
	ServiceName: "bench.Plugin",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Noop", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		n := new(wrapperspb.Int64Value)
		return n, decode(n)
	}}},
}

func (*grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&service, grpcServer{})
	return nil
}

func (*grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return &grpcClient{c}, nil
}

type grpcClient struct{ c *grpc.ClientConn }

func (g *grpcClient) Noop(n int) (int, error) {
	var reply wrapperspb.Int64Value
	err := g.c.Invoke(context.Background(), noopMethod, wrapperspb.Int64(int64(n)), &reply)
	return int(reply.Value), err
}
