package foreign_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// passing is a frontend that solves one definition and calls another frontend.
type passing struct{ def *pb.Definition }

func (p passing) Solve(ctx context.Context, bridge frontend.FrontendLLBBridge, _ executor.Executor, _ map[string]string, _ map[string]*pb.Definition, sid string, _ *session.Manager) (*frontend.Result, error) {
	if _, err := bridge.Solve(ctx, frontend.SolveRequest{Definition: p.def}, sid); err != nil {
		return nil, err
	}
	return bridge.Solve(ctx, frontend.SolveRequest{Frontend: "other", FrontendOpt: map[string]string{"key": "value"}}, sid)
}

// listening is the bridge behind it.
type listening struct {
	frontend.FrontendLLBBridge
	heard *[]frontend.SolveRequest
}

func (l listening) Solve(_ context.Context, req frontend.SolveRequest, _ string) (*frontend.Result, error) {
	*l.heard = append(*l.heard, req)
	return &frontend.Result{}, nil
}

func TestDescribe(t *testing.T) {
	first, second := []byte("first"), []byte("second")
	key := func(op []byte) string { return digest.FromBytes(op).String() }
	def := &pb.Definition{
		Def:      [][]byte{first, second},
		Metadata: map[string]*pb.OpMetadata{key(first): {IgnoreCache: true, Description: map[string]string{"llb.customname": "name"}}},
	}
	solve := func(opt map[string]string) ([]frontend.SolveRequest, error) {
		var heard []frontend.SolveRequest
		_, err := foreign.Describe(passing{def}).Solve(t.Context(), listening{heard: &heard}, nil, opt, nil, "", nil)
		return heard, err
	}
	heard, err := solve(map[string]string{dispatch.AssistAttribute: dispatch.AssistOff, "filename": "Dockerfile"})
	if err != nil || len(heard) != 2 {
		t.Fatalf("heard %v, %v", heard, err)
	}
	described := heard[0].Definition.Metadata
	if diff := cmp.Diff(map[string]string{"llb.customname": "name", dispatch.AssistAttribute: "off"}, described[key(first)].Description); diff != "" {
		t.Errorf("the first operation's description (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{dispatch.AssistAttribute: "off"}, described[key(second)].Description); diff != "" {
		t.Errorf("the second operation's description (-want +got):\n%s", diff)
	}
	if !described[key(first)].IgnoreCache {
		t.Error("the rest of the metadata is lost")
	}
	if diff := cmp.Diff(map[string]string{"key": "value", dispatch.AssistAttribute: "off"}, heard[1].FrontendOpt); diff != "" {
		t.Errorf("the other frontend's attributes (-want +got):\n%s", diff)
	}
	if len(def.Metadata) != 1 || len(def.Metadata[key(first)].Description) != 1 {
		t.Errorf("the definition that was given has changed: %v", def.Metadata)
	}
	if heard, err := solve(nil); err != nil || heard[0].Definition != def {
		t.Errorf("a build that says nothing is not left alone: %v, %v", heard, err)
	}
	for name, value := range map[string]string{dispatch.AssistAttribute: "maybe", dispatch.AccountingAttribute: "of"} {
		if _, err := solve(map[string]string{name: value}); err == nil || !strings.Contains(err.Error(), value) || !strings.Contains(err.Error(), "use ") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
