package main

import (
	"context"
	"os"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// credential is how the application proves itself, if the flags have something for that.
func (s *session) credential() (c account.Credential, has bool, err error) {
	secret, err := s.secret()
	if err != nil {
		return c, false, err
	}
	switch {
	case secret != "" && (s.Certificate != "" || s.FederatedTokenFile != ""), s.Certificate != "" && s.FederatedTokenFile != "":
		return c, false, usageError("the application proves itself by a secret, by --certificate or by --federated-token-file: leave all but one out")
	case s.Certificate != "":
		if _, err := readNamed("--certificate", s.Certificate); err != nil {
			return c, false, err
		}
		if c, err = account.LoadCertificate(s.Certificate, os.Getenv(certificatePassword)); err != nil {
			return c, false, usageError("--certificate: " + err.Error() + " (its password comes from " + certificatePassword + ")")
		}
		return c, true, nil
	case s.FederatedTokenFile != "":
		if _, err := s.federatedToken(context.Background()); err != nil {
			return c, false, err
		}
		return account.Assertion(s.federatedToken), true, nil
	case secret != "":
		return account.Secret(secret.Reveal()), true, nil
	}
	return c, false, nil
}

const certificatePassword = "GRAPHTOKEN_CERTIFICATE_PASSWORD"

// federatedToken reads the file, which its provider replaces from time to time.
func (s *session) federatedToken(context.Context) (string, error) {
	data, err := readNamed("--federated-token-file", s.FederatedTokenFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", usageError("--federated-token-file: " + s.FederatedTokenFile + " is empty")
	}
	return token, nil
}

func (s *session) secret() (tokencache.Secret, error) {
	switch {
	case s.ClientSecretFile == "" && s.clientSecret == "":
		return "", nil
	case s.ClientSecretFile == "":
		return parseSecret("GRAPHTOKEN_CLIENT_SECRET", s.clientSecret)
	}
	data, err := readNamed("--client-secret-file", s.ClientSecretFile)
	if err != nil {
		return "", err
	}
	return parseSecret("--client-secret-file "+s.ClientSecretFile, string(data))
}

func parseSecret(from, text string) (tokencache.Secret, error) {
	secret, err := account.ParseSecret(text)
	if err != nil {
		return "", usageError(from + ": " + err.Error())
	}
	return secret, nil
}

const noSecret = "the application's secret is missing: set GRAPHTOKEN_CLIENT_SECRET, or name a file with --client-secret-file; or use --certificate or --federated-token-file"
