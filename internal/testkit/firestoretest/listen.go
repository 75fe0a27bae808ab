package firestoretest

import (
	"io"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Listen tells of documents: how they are, and then of every change.
func (d *double) Listen(stream pb.Firestore_ListenServer) error {
	requests, broken := make(chan *pb.ListenRequest), make(chan error, 1)
	go func() {
		for {
			req, err := stream.Recv()
			if err != nil {
				broken <- err
				return
			}
			select {
			case requests <- req:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	l := &listener{stream: stream, targets: make(map[int32]*target)}
	for {
		d.mu.Lock()
		changed := d.changed
		news, at := l.news(d.documents), d.readTime()
		d.mu.Unlock()
		if err := l.tell(news, at); err != nil {
			return err
		}
		select {
		case req := <-requests:
			if err := l.obey(req); err != nil {
				return err
			}
		case <-changed:
		case err := <-broken:
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

type listener struct {
	stream  pb.Firestore_ListenServer
	targets map[int32]*target
}

// target is documents somebody listens to.
type target struct {
	names []string
	told  map[string]*pb.Document // as the client knows them
	begun bool
}

func (l *listener) obey(req *pb.ListenRequest) error {
	switch change := req.TargetChange.(type) {
	case *pb.ListenRequest_AddTarget:
		documents := change.AddTarget.GetDocuments()
		if documents == nil {
			return unimplemented("listening to queries")
		}
		// A client that resumes gets everything again.
		l.targets[change.AddTarget.TargetId] = &target{names: documents.Documents, told: make(map[string]*pb.Document)}
		return l.change(pb.TargetChange_ADD, change.AddTarget.TargetId)
	case *pb.ListenRequest_RemoveTarget:
		delete(l.targets, change.RemoveTarget)
		return l.change(pb.TargetChange_REMOVE, change.RemoveTarget)
	}
	return nil
}

// news is what the client has yet to be told.
func (l *listener) news(documents map[string]*pb.Document) (news []*pb.ListenResponse) {
	for id, t := range l.targets {
		for _, name := range t.names {
			doc := documents[name]
			switch before := t.told[name]; {
			case doc == before:
				continue
			case doc == nil:
				news = append(news, &pb.ListenResponse{ResponseType: &pb.ListenResponse_DocumentDelete{
					DocumentDelete: &pb.DocumentDelete{Document: name, RemovedTargetIds: []int32{id}}}})
			default:
				news = append(news, &pb.ListenResponse{ResponseType: &pb.ListenResponse_DocumentChange{
					DocumentChange: &pb.DocumentChange{Document: doc, TargetIds: []int32{id}}}})
			}
			t.told[name] = doc
		}
		if !t.begun {
			t.begun = true
			news = append(news, change(pb.TargetChange_CURRENT, id))
		}
	}
	return news
}

// tell ends with a time at which the client's view is consistent.
func (l *listener) tell(news []*pb.ListenResponse, at *timestamppb.Timestamp) error {
	if len(news) == 0 {
		return nil
	}
	news = append(news, &pb.ListenResponse{ResponseType: &pb.ListenResponse_TargetChange{
		TargetChange: &pb.TargetChange{TargetChangeType: pb.TargetChange_NO_CHANGE, ReadTime: at, ResumeToken: []byte("resume")}}})
	for _, response := range news {
		if err := l.stream.Send(response); err != nil {
			return err
		}
	}
	return nil
}

func (l *listener) change(kind pb.TargetChange_TargetChangeType, id int32) error {
	return l.stream.Send(change(kind, id))
}

func change(kind pb.TargetChange_TargetChangeType, id int32) *pb.ListenResponse {
	return &pb.ListenResponse{ResponseType: &pb.ListenResponse_TargetChange{
		TargetChange: &pb.TargetChange{TargetChangeType: kind, TargetIds: []int32{id}}}}
}
