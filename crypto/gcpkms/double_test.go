package gcpkms_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"net"
	"sync"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// double is a double of Cloud KMS's Encrypt and Decrypt: symmetric keys with versions.
type double struct {
	kmspb.UnimplementedKeyManagementServiceServer
	server *grpc.Server
	addr   string

	mu      sync.Mutex
	keys    map[string][]cipher.AEAD // versions, by resource name
	fail    error                    // of each call, unless it is nil
	damages bool                     // each answer is damaged on its way
}

func newDouble() *double {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	d := &double{server: grpc.NewServer(), addr: l.Addr().String(), keys: map[string][]cipher.AEAD{}}
	kmspb.RegisterKeyManagementServiceServer(d.server, d)
	go d.server.Serve(l)
	return d
}

// client is the real SDK's, at the double.
func (d *double) client() *kms.KeyManagementClient {
	conn, err := grpc.NewClient(d.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	client, err := kms.NewKeyManagementClient(context.Background(), option.WithGRPCConn(conn))
	if err != nil {
		panic(err)
	}
	return client
}

// rotate gives a key another version, and makes the key where there is none.
func (d *double) rotate(name string) {
	var secret [32]byte
	rand.Read(secret[:])
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[name] = append(d.keys[name], aead)
}

func sum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
}

// begin checks what both methods check.
func (d *double) begin(name string, sums ...bool) ([]cipher.AEAD, error) {
	if d.fail != nil {
		return nil, d.fail
	}
	for _, good := range sums {
		if !good {
			return nil, status.Error(codes.InvalidArgument, "the checksum in field does not match the data in field")
		}
	}
	versions := d.keys[name]
	if versions == nil {
		return nil, status.Error(codes.NotFound, "CryptoKey "+name+" not found.")
	}
	return versions, nil
}

func (d *double) Encrypt(_ context.Context, q *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	versions, err := d.begin(q.Name, q.PlaintextCrc32C.GetValue() == sum(q.Plaintext).Value, q.AdditionalAuthenticatedDataCrc32C.GetValue() == sum(q.AdditionalAuthenticatedData).Value)
	if err != nil {
		return nil, err
	}
	ciphertext := append([]byte{byte(len(versions))}, versions[len(versions)-1].Seal(nil, nil, q.Plaintext, q.AdditionalAuthenticatedData)...)
	check := sum(ciphertext)
	if d.damages {
		ciphertext[3] ^= 1
	}
	return &kmspb.EncryptResponse{
		Name: fmt.Sprintf("%s/cryptoKeyVersions/%d", q.Name, len(versions)), Ciphertext: ciphertext, CiphertextCrc32C: check,
		VerifiedPlaintextCrc32C: true, VerifiedAdditionalAuthenticatedDataCrc32C: true,
	}, nil
}

func (d *double) Decrypt(_ context.Context, q *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	versions, err := d.begin(q.Name, q.CiphertextCrc32C.GetValue() == sum(q.Ciphertext).Value, q.AdditionalAuthenticatedDataCrc32C.GetValue() == sum(q.AdditionalAuthenticatedData).Value)
	if err != nil {
		return nil, err
	}
	if len(q.Ciphertext) == 0 || q.Ciphertext[0] == 0 || int(q.Ciphertext[0]) > len(versions) {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid.")
	}
	plaintext, err := versions[q.Ciphertext[0]-1].Open(nil, nil, q.Ciphertext[1:], q.AdditionalAuthenticatedData)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	check := sum(plaintext)
	if d.damages {
		plaintext[3] ^= 1
	}
	return &kmspb.DecryptResponse{Plaintext: plaintext, PlaintextCrc32C: check}, nil
}
