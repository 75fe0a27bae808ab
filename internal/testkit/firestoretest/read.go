package firestoretest

import (
	"slices"
	"strings"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
)

// BatchGetDocuments answers at one time for all.
func (d *double) BatchGetDocuments(req *pb.BatchGetDocumentsRequest, stream pb.Firestore_BatchGetDocumentsServer) error {
	if req.ConsistencySelector != nil {
		return unimplemented("reads in transactions or in the past")
	}
	d.mu.Lock()
	at := d.readTime()
	var answers []*pb.BatchGetDocumentsResponse
	for _, name := range req.Documents {
		answer := &pb.BatchGetDocumentsResponse{ReadTime: at}
		if doc := d.documents[name]; doc != nil {
			answer.Result = &pb.BatchGetDocumentsResponse_Found{Found: masked(doc, req.Mask)}
		} else {
			answer.Result = &pb.BatchGetDocumentsResponse_Missing{Missing: name}
		}
		answers = append(answers, answer)
	}
	d.mu.Unlock()
	for i, name := range req.Documents {
		if err := checkName(req.Database, name); err != nil {
			return err
		}
		if err := stream.Send(answers[i]); err != nil {
			return err
		}
	}
	return nil
}

// RunQuery lists a collection by its documents' ids.
func (d *double) RunQuery(req *pb.RunQueryRequest, stream pb.Firestore_RunQueryServer) error {
	query := req.GetStructuredQuery()
	switch {
	case req.ConsistencySelector != nil || req.ExplainOptions != nil:
		return unimplemented("queries in transactions, in the past or explained")
	case len(query.GetFrom()) != 1 || query.From[0].AllDescendants:
		return unimplemented("queries of anything but one collection")
	case query.Where != nil || query.Offset != 0 || query.FindNearest != nil || query.EndAt != nil:
		return unimplemented("filters, offsets and ends")
	case len(query.OrderBy) > 1 || len(query.OrderBy) == 1 &&
		(query.OrderBy[0].Field.FieldPath != "__name__" || query.OrderBy[0].Direction == pb.StructuredQuery_DESCENDING):
		return unimplemented("orders other than by id")
	case query.StartAt != nil && (len(query.OrderBy) != 1 || len(query.StartAt.Values) != 1):
		return unimplemented("this start of a query")
	}
	within := req.Parent + "/" + query.From[0].CollectionId + "/"
	after := query.GetStartAt()
	d.mu.Lock()
	at := d.readTime()
	var found []*pb.Document
	for name, doc := range d.documents {
		id, ok := strings.CutPrefix(name, within)
		if !ok || strings.Contains(id, "/") {
			continue
		}
		if after != nil {
			start := after.Values[0].GetReferenceValue()
			if name < start || name == start && !after.Before {
				continue
			}
		}
		found = append(found, doc)
	}
	d.mu.Unlock()
	slices.SortFunc(found, func(a, b *pb.Document) int { return strings.Compare(a.Name, b.Name) })
	if query.Limit != nil && len(found) > int(query.Limit.Value) {
		found = found[:query.Limit.Value]
	}
	for _, doc := range found {
		var mask *pb.DocumentMask
		if query.Select != nil {
			mask = &pb.DocumentMask{}
			for _, field := range query.Select.Fields {
				mask.FieldPaths = append(mask.FieldPaths, field.FieldPath)
			}
		}
		if err := stream.Send(&pb.RunQueryResponse{Document: masked(doc, mask), ReadTime: at}); err != nil {
			return err
		}
	}
	return stream.Send(&pb.RunQueryResponse{ReadTime: at})
}

// masked is the document with the fields of a mask alone; nil is all of them.
func masked(doc *pb.Document, mask *pb.DocumentMask) *pb.Document {
	if mask == nil {
		return doc
	}
	fields := make(map[string]*pb.Value)
	for _, path := range mask.FieldPaths {
		if name, err := topLevel(path); err == nil && doc.Fields[name] != nil {
			fields[name] = doc.Fields[name]
		}
	}
	return &pb.Document{Name: doc.Name, Fields: fields, CreateTime: doc.CreateTime, UpdateTime: doc.UpdateTime}
}
