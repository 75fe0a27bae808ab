package firestoretest

import (
	"context"
	"maps"
	"strings"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Commit does all of its writes or none.
func (d *double) Commit(_ context.Context, req *pb.CommitRequest) (*pb.CommitResponse, error) {
	if len(req.Transaction) > 0 {
		return nil, unimplemented("transactions")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.now()
	if !at.After(d.last) {
		at = d.last.Add(time.Microsecond)
	}
	resp := &pb.CommitResponse{CommitTime: timestamppb.New(at)}
	written := make(map[string]*pb.Document) // nil: deleted
	for _, w := range req.Writes {
		name := w.GetDelete()
		if w.GetUpdate() != nil {
			name = w.GetUpdate().GetName()
		}
		if err := checkName(req.Database, name); err != nil {
			return nil, err
		}
		old, ok := written[name]
		if !ok {
			old = d.documents[name]
		}
		if err := checkPrecondition(w, old); err != nil {
			return nil, err
		}
		result := &pb.WriteResult{}
		switch w.Operation.(type) {
		case *pb.Write_Delete:
			written[name] = nil
		case *pb.Write_Update:
			next, err := update(old, w, at)
			if err != nil {
				return nil, err
			}
			written[name] = next
			result.UpdateTime = next.UpdateTime
		default:
			return nil, unimplemented("writes that are neither updates nor deletions")
		}
		resp.WriteResults = append(resp.WriteResults, result)
	}
	for name, doc := range written {
		if doc == nil {
			delete(d.documents, name)
		} else {
			d.documents[name] = doc
		}
	}
	d.last = at
	close(d.changed)
	d.changed = make(chan struct{})
	return resp, nil
}

func checkPrecondition(w *pb.Write, old *pb.Document) error {
	switch c := w.GetCurrentDocument().GetConditionType().(type) {
	case *pb.Precondition_Exists:
		switch {
		case c.Exists && old == nil:
			return status.Error(codes.NotFound, "no entity to update")
		case !c.Exists && old != nil:
			return status.Errorf(codes.AlreadyExists, "entity already exists: %s", old.Name)
		}
	case *pb.Precondition_UpdateTime:
		if old == nil || !old.UpdateTime.AsTime().Equal(c.UpdateTime.AsTime()) {
			return status.Error(codes.FailedPrecondition, "the stored version does not match the required base version")
		}
	}
	return nil
}

// update is the document that a write makes of old, which may be nil. One that is
// the same as before keeps its update time.
func update(old *pb.Document, w *pb.Write, at time.Time) (*pb.Document, error) {
	fields := make(map[string]*pb.Value)
	given := w.GetUpdate().GetFields()
	if w.UpdateMask == nil {
		maps.Copy(fields, given)
	} else {
		maps.Copy(fields, old.GetFields())
		for _, path := range w.UpdateMask.FieldPaths {
			name, err := topLevel(path)
			if err != nil {
				return nil, err
			}
			if value, ok := given[name]; ok {
				fields[name] = value
			} else {
				delete(fields, name)
			}
		}
	}
	for _, transform := range w.UpdateTransforms {
		name, err := topLevel(transform.FieldPath)
		if err != nil {
			return nil, err
		}
		if transform.GetSetToServerValue() != pb.DocumentTransform_FieldTransform_REQUEST_TIME {
			return nil, unimplemented("transforms other than the request's time")
		}
		fields[name] = &pb.Value{ValueType: &pb.Value_TimestampValue{TimestampValue: timestamppb.New(at)}}
	}
	next := &pb.Document{Name: w.GetUpdate().Name, Fields: fields, CreateTime: timestamppb.New(at), UpdateTime: timestamppb.New(at)}
	if old != nil {
		next.CreateTime, next.UpdateTime = old.CreateTime, old.UpdateTime
		if proto.Equal(old, next) {
			return old, nil
		}
		next.UpdateTime = timestamppb.New(at)
	}
	return next, checkSize(next)
}

// topLevel is the field that a path names.
func topLevel(path string) (string, error) {
	if name, ok := strings.CutPrefix(path, "`"); ok {
		name, ok = strings.CutSuffix(name, "`")
		if ok && !strings.ContainsAny(name, "`\\") {
			return name, nil
		}
	} else if !strings.Contains(path, ".") {
		return path, nil
	}
	return "", unimplemented("the field path " + path)
}

func unimplemented(what string) error {
	return status.Error(codes.Unimplemented, "the double has no support for "+what)
}
