package firestoretest

import (
	"strings"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits of names and sizes: https://firebase.google.com/docs/firestore/quotas.
const (
	maxID       = 1500
	maxValue    = 1<<20 - 89
	maxDocument = 1 << 20
)

func checkName(database, name string) error {
	path, ok := strings.CutPrefix(name, database+"/documents/")
	if !ok {
		return invalid("Document name %q is not of the database %q.", name, database)
	}
	ids := strings.Split(path, "/")
	if len(ids)%2 != 0 {
		return invalid("Document name %q names a collection.", name)
	}
	for i, id := range ids {
		switch {
		case id == "", id == ".", id == "..":
			return invalid("Document name %q contains a resource id %q.", name, id)
		case reservedName(id) && i%2 == 0:
			return invalid("Collection id %q is invalid because it is reserved.", id)
		case reservedName(id):
			return invalid("Resource id %q is invalid because it is reserved.", id)
		case len(id) > maxID:
			return invalid("The key path element name is longer than %d bytes.", maxID)
		}
	}
	return nil
}

// reservedName is __.*__, with both pairs of underscores.
func reservedName(id string) bool {
	return len(id) >= 5 && strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__")
}

// checkSize counts as https://firebase.google.com/docs/firestore/storage-size says.
func checkSize(doc *pb.Document) error {
	size := sizeOfName(doc.Name) + 32
	for name, value := range doc.Fields {
		if reservedName(name) {
			return invalid("field name %s is reserved", name)
		}
		n := sizeOf(value)
		if _, text := value.ValueType.(*pb.Value_StringValue); text && n-1 > maxValue || !text && n > maxValue {
			return invalid("The value of property %q is longer than %d bytes.", name, maxValue)
		}
		size += len(name) + 1 + n
	}
	if size > maxDocument {
		return invalid("maximum entity size is %d bytes", maxDocument)
	}
	return nil
}

func sizeOfName(name string) int {
	_, path, _ := strings.Cut(name, "/documents/")
	return len(path) + 1 + 16
}

func sizeOf(value *pb.Value) int {
	switch v := value.ValueType.(type) {
	case *pb.Value_StringValue:
		return len(v.StringValue) + 1
	case *pb.Value_BytesValue:
		return len(v.BytesValue)
	case *pb.Value_ReferenceValue:
		return sizeOfName(v.ReferenceValue)
	case *pb.Value_MapValue:
		n := 0
		for name, value := range v.MapValue.Fields {
			n += len(name) + 1 + sizeOf(value)
		}
		return n
	case *pb.Value_ArrayValue:
		n := 0
		for _, value := range v.ArrayValue.Values {
			n += sizeOf(value)
		}
		return n
	case *pb.Value_NullValue, *pb.Value_BooleanValue:
		return 1
	case *pb.Value_GeoPointValue:
		return 16
	}
	return 8 // numbers and times
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}
