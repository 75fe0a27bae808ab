package entra

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// SignIn does at an authorization URL what a user with a browser would, up to the
// moment when the browser would visit the application: it returns the redirect_uri with
// code and state (or error) in its query, whatever the response mode. The login_hint of
// the URL signs in, else Options.DefaultUser, else the first user.
func (s *Server) SignIn(authURL string) (redirectURL string, err error) {
	to, params, err := s.signIn(authURL)
	if err != nil {
		return "", err
	}
	if params != nil {
		to.RawQuery = params.Encode()
	}
	return to.String(), nil
}

// SignInAs is SignIn for one user, whatever the URL hints at.
func (s *Server) SignInAs(username, authURL string) (redirectURL string, err error) {
	hinted, err := withHint(username, authURL)
	if err != nil {
		return "", err
	}
	return s.SignIn(hinted)
}

// Browse is SignIn followed by the visit to the application, which must listen on a
// loopback address. It fits MSAL Go's public.WithOpenURL.
func (s *Server) Browse(authURL string) error {
	to, params, err := s.signIn(authURL)
	if err != nil {
		return err
	}
	if !isLoopback(to.String()) {
		return fmt.Errorf("entra: browse: the application's address %s://%s is not on loopback", to.Scheme, to.Host)
	}
	browser := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		Timeout:   30 * time.Second,
	}
	var resp *http.Response
	if params != nil {
		resp, err = browser.PostForm(to.String(), params)
	} else {
		resp, err = browser.Get(to.String())
	}
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // url.Error would print the code
		}
		return fmt.Errorf("entra: browse: visit the application: %w", err)
	}
	return resp.Body.Close()
}

// BrowseAs is Browse for one user.
func (s *Server) BrowseAs(username string) func(authURL string) error {
	return func(authURL string) error {
		hinted, err := withHint(username, authURL)
		if err != nil {
			return err
		}
		return s.Browse(hinted)
	}
}

// signIn returns where the browser goes next, and the form it would post there, if any.
func (s *Server) signIn(authURL string) (*url.URL, url.Values, error) {
	hinted, err := s.withDefaultHint(authURL)
	if err != nil {
		return nil, nil, err
	}
	resp, page, err := s.visit(hinted)
	if err != nil {
		return nil, nil, fmt.Errorf("entra: sign in: %w", err)
	}
	return nextOf(resp, page)
}

// withDefaultHint returns authURL with a login_hint: its own, or the user who signs in if it
// has none.
func (s *Server) withDefaultHint(authURL string) (string, error) {
	u, err := url.Parse(authURL)
	if err != nil {
		return "", fmt.Errorf("entra: sign in: %w", err)
	}
	if u.Query().Get("login_hint") != "" {
		return authURL, nil
	}
	return withHint(s.defaultUser(), authURL)
}

// defaultUser is Options.DefaultUser, else the first user, else empty.
func (s *Server) defaultUser() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.DefaultUser == "" && len(s.order) > 0 {
		return s.users[s.order[0]].Username
	}
	return s.opts.DefaultUser
}

// visit gets a page, and follows no redirect.
func (s *Server) visit(address string) (*http.Response, []byte, error) {
	browser := *s.client
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := browser.Get(address)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return resp, page, err
}

// nextOf reads a page of the sign-in: a redirect, a form that the browser posts by itself, or
// an error for the user.
func nextOf(resp *http.Response, page []byte) (to *url.URL, fields url.Values, err error) {
	if resp.StatusCode == http.StatusFound {
		to, err = resp.Location()
		return to, nil, err
	}
	if form := formAction.FindSubmatch(page); form != nil && resp.StatusCode == http.StatusOK {
		to, err = url.Parse(html.UnescapeString(string(form[1])))
		return to, fieldsOf(page), err
	}
	return nil, nil, fmt.Errorf("entra: sign in: %s: %s", resp.Status, strings.TrimSpace(html.UnescapeString(anyTag.ReplaceAllString(string(page), " "))))
}

// fieldsOf returns the hidden fields of a page's form.
func fieldsOf(page []byte) url.Values {
	fields := url.Values{}
	for _, field := range formField.FindAllSubmatch(page, -1) {
		fields.Add(html.UnescapeString(string(field[1])), html.UnescapeString(string(field[2])))
	}
	return fields
}

// The pages are this package's own, so their shape is known.
var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	anyTag     = regexp.MustCompile(`<[^>]*>`)
)

// withHint returns authURL with username as its login_hint.
func withHint(username, authURL string) (string, error) {
	u, err := url.Parse(authURL)
	if err != nil {
		return "", fmt.Errorf("entra: sign in: %w", err)
	}
	q := u.Query()
	q.Set("login_hint", username)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
