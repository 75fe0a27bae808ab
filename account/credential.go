package account

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"software.sslmate.com/src/go-pkcs12"
)

// Credential is how a confidential client proves that it is the application. The zero
// value is a public client, which proves nothing. A Credential prints none of its
// secrets.
type Credential struct {
	made func() ([]confidential.Credential, error) // a function, because code that prints by reflection can't look into one
	_    uintptr                                   // go-spew crashes on a struct of one pointer
}

// Format prints whether there is a credential, whatever the verb.
func (c Credential) Format(s fmt.State, _ rune) {
	text := "[no credential]"
	if c.made != nil {
		text = "[credential]"
	}
	_, _ = io.WriteString(s, text)
}

func (c Credential) msal() ([]confidential.Credential, error) {
	if c.made == nil {
		return nil, nil
	}
	return c.made()
}

// one returns a Credential that is made once, or an error.
func one(made confidential.Credential, err error) Credential {
	return Credential{made: func() ([]confidential.Credential, error) {
		if err != nil {
			return nil, err
		}
		return []confidential.Credential{made}, nil
	}}
}

// Secret returns a client secret, read by ParseSecret. If the provider refuses it, the
// older ones are tried, in order. So the application works while a secret is replaced,
// whether the provider or the application gets the new one first.
func Secret(s string, older ...string) Credential {
	var all []confidential.Credential
	var failed error
	for _, text := range append([]string{s}, older...) {
		secret, err := ParseSecret(text)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		made, err := confidential.NewCredFromSecret(secret.Reveal())
		failed, all = errors.Join(failed, err), append(all, made)
	}
	return Credential{made: func() ([]confidential.Credential, error) { return all, failed }}
}

// Certificate returns a certificate with which the application is registered, with its
// RSA key. Further certificates of a chain are sent with it.
func Certificate(certs []*x509.Certificate, key crypto.PrivateKey) Credential {
	made, err := confidential.NewCredFromCert(certs, key)
	if err != nil {
		err = fmt.Errorf("the certificate: %w", err)
	}
	return one(made, err)
}

// LoadCertificate reads a certificate and its RSA key from one file: PEM, whose key isn't
// encrypted, or PFX (PKCS #12) with its password.
func LoadCertificate(file, password string) (Credential, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Credential{}, fmt.Errorf("account: the certificate: %w", err)
	}
	certs, key, err := parseCertificate(data, password)
	if err == nil {
		c := Certificate(certs, key)
		if _, err = c.msal(); err == nil {
			return c, nil
		}
	}
	return Credential{}, fmt.Errorf("account: %s: %w", file, err)
}

func parseCertificate(data []byte, password string) ([]*x509.Certificate, crypto.PrivateKey, error) {
	if block, _ := pem.Decode(data); block != nil {
		for rest := data; ; {
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "ENCRYPTED PRIVATE KEY" {
				return nil, nil, errors.New("the key is encrypted, which can't be read in PEM: make a PFX of it (openssl pkcs12 -export), or decrypt it (openssl pkcs8)")
			}
		}
		return confidential.CertFromPEM(data, "")
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, nil, errors.New("the password doesn't open the file")
	case err != nil:
		return nil, nil, fmt.Errorf("the file is neither PEM nor PFX: %w", err)
	}
	return append([]*x509.Certificate{leaf}, chain...), key, nil
}

// Thumbprint returns a certificate that is named by its SHA-1 thumbprint, as the Entra
// admin center shows it and python-o365 takes it, with its RSA key. The key may be in a
// device: any [crypto.Signer] is accepted.
//
// The assertion that proves the application is made here, because MSAL Go makes it from
// the certificate itself.
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func Thumbprint(hexSHA1 string, key crypto.PrivateKey) Credential {
	digest, err := hex.DecodeString(strings.Map(dropSeparators, hexSHA1))
	signer, isSigner := key.(crypto.Signer)
	switch {
	case err != nil || len(digest) != sha1.Size:
		return one(confidential.Credential{}, fmt.Errorf("the thumbprint must be a certificate's SHA-1: %d hexadecimal digits", 2*sha1.Size))
	case !isSigner:
		return one(confidential.Credential{}, errors.New("the certificate's key can't sign"))
	}
	if _, isRSA := signer.Public().(*rsa.PublicKey); !isRSA {
		return one(confidential.Credential{}, errors.New("the certificate's key must be an RSA key"))
	}
	return one(confidential.NewCredFromAssertionCallback(func(_ context.Context, o confidential.AssertionRequestOptions) (string, error) {
		return signAssertion(signer, digest, o.ClientID, o.TokenEndpoint, time.Now())
	}), nil)
}

// dropSeparators removes the characters between the digits of a thumbprint.
func dropSeparators(r rune) rune {
	if r == ':' || r == ' ' || r == '\u200e' { // the last one comes along when a thumbprint is copied from Windows' dialog
		return -1
	}
	return r
}

// signAssertion makes a client assertion (RFC 7523 section 2.2) that is valid for ten
// minutes.
func signAssertion(signer crypto.Signer, thumbprint []byte, clientID, audience string, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "x5t": base64.RawURLEncoding.EncodeToString(thumbprint)})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"aud": audience, "iss": clientID, "sub": clientID, "jti": rand.Text(), "nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("the client assertion can't be signed: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// Assertion returns an assertion that f makes, again for each request: a JSON web token
// of a provider that the application's registration trusts (a federated credential).
// WorkloadIdentity is such a function.
func Assertion(f func(ctx context.Context) (string, error)) Credential {
	if f == nil {
		return one(confidential.Credential{}, errors.New("Assertion needs a function"))
	}
	return one(confidential.NewCredFromAssertionCallback(func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
		return f(ctx)
	}), nil)
}

// WorkloadIdentity returns the assertion in the file that the variable
// AZURE_FEDERATED_TOKEN_FILE names, as a Kubernetes cluster with workload identity
// provides it. The file is read each time, because the cluster replaces it every hour.
// Errors name the variable if it isn't set, or if its file can't be read or is empty.
//
//	cfg.Credential = account.Assertion(account.WorkloadIdentity)
//
// The cluster also sets the variables AZURE_CLIENT_ID and AZURE_TENANT_ID.
// https://azure.github.io/azure-workload-identity/docs/quick-start.html
func WorkloadIdentity(context.Context) (string, error) {
	file := os.Getenv("AZURE_FEDERATED_TOKEN_FILE")
	if file == "" {
		return "", errors.New("AZURE_FEDERATED_TOKEN_FILE is not set: the pod has no workload identity")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE: %s is empty", file)
	}
	return token, nil
}
