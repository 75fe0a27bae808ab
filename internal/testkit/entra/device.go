package entra

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

// device is one device authorization (RFC 8628).
type device struct {
	userCode string
	tenant   string
	client   string
	scopes   []string
	expires  time.Time
	user     *User // who approved it
	declined bool
	redeemed bool
}

// serveDeviceCode is RFC 8628 section 3.2. MSAL Go finds it by replacing "token" in the
// token endpoint's URL (accesstokens.go, DeviceCodeResult), everywhere in it: a tenant
// with that word in its domain can't use the flow.
func (s *Server) serveDeviceCode(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	if err := r.ParseForm(); err != nil {
		refuse("invalid_request", 900144, "The request body could not be read.").write(w, r, s.now())
		return
	}
	told, refused := s.startDevice(providerOf(r).tenant, r.PostForm.Get("client_id"), strings.Fields(r.PostForm.Get("scope")))
	if refused != nil {
		refused.write(w, r, s.now())
		return
	}
	told.VerificationURI = base(r) + "/device"
	told.Message = fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", told.VerificationURI, told.UserCode)
	writeJSON(w, http.StatusOK, told)
}

// deviceAnswer is RFC 8628 section 3.2; message is Entra's addition.
type deviceAnswer struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
	Message         string `json:"message"`
}

func (s *Server) startDevice(tenant, clientID string, scopes []string) (*deviceAnswer, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.knowsTenant(tenant):
		return nil, unknownTenant(tenant)
	case clientID == "":
		return nil, missing("client_id")
	case s.clients[clientID] == nil:
		return nil, unknownClient(clientID, tenant)
	case len(scopes) == 0:
		return nil, missing("scope")
	}
	if refused := oneResource(scopes); refused != nil {
		return nil, refused
	}
	value := "1." + random(60)
	d := &device{
		userCode: userCode(), tenant: tenant, client: clientID, scopes: scopes,
		expires: s.opts.Clock().Add(s.opts.DeviceLifetime),
	}
	s.devices[value] = d
	return &deviceAnswer{DeviceCode: value, UserCode: d.userCode, ExpiresIn: seconds(s.opts.DeviceLifetime), Interval: 1}, nil
}

// redeemDevice is RFC 8628 section 3.5, with the names Entra has for its errors. s.mu is held.
// It never says slow_down: MSAL Go starts to poll after 50 ms whatever interval it was told.
func (s *Server) redeemDevice(c *call, client *Client) (*answer, *refusal) {
	value := c.form.Get("device_code")
	if value == "" {
		return nil, missing("device_code")
	}
	d := s.devices[value]
	if d == nil || d.client != client.ID {
		return nil, refuse("bad_verification_code", 70018, "The device_code is not one of this client's.")
	}
	c.user = d.user
	switch {
	case d.redeemed:
		return nil, refuse("invalid_grant", 54005, "The device code was already redeemed.")
	case d.declined: // Microsoft documents the error and no number: this one is of a consent that is declined
		return nil, refuse("authorization_declined", 65004, "The end user denied the authorization request.")
	case s.opts.Clock().After(d.expires):
		return nil, refuse("expired_token", 70020, "The provided value for the input parameter 'device_code' is not valid. This device code has expired.")
	case d.user == nil:
		return nil, refuse("authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
	}
	scopes := c.Scopes
	if len(scopes) == 0 {
		scopes = d.scopes
	}
	a, refused := s.startSession(c, client, d.user, scopes)
	d.redeemed = refused == nil
	return a, refused
}

// ApproveDevice is what a user does at the verification page.
func (s *Server) ApproveDevice(userCode, username string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deviceFor(userCode)
	if err != nil {
		return err
	}
	u, refused := s.userIn(username, d.tenant)
	if refused != nil {
		return fmt.Errorf("entra: device code: %w", refused)
	}
	d.user = u
	return nil
}

// DeclineDevice is the other thing a user can do there.
func (s *Server) DeclineDevice(userCode string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deviceFor(userCode)
	if err != nil {
		return err
	}
	d.declined = true
	return nil
}

var errNoDevice = errors.New("no device waits with this code")

func (s *Server) deviceFor(userCode string) (*device, error) {
	// People type what they read: RFC 8628 section 6.1 wants it forgiven.
	typed := strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, userCode))
	for _, d := range s.devices {
		if d.userCode == typed && d.user == nil && !d.declined && !s.opts.Clock().After(d.expires) {
			return d, nil
		}
	}
	return nil, fmt.Errorf("entra: device code: %w", errNoDevice)
}

func (s *Server) serveDevicePage(w http.ResponseWriter, r *http.Request) {
	page(http.StatusOK, devicePage, struct {
		Code  string
		Users []User
	}{r.URL.Query().Get("user_code"), s.Users()})(w)
}

func (s *Server) serveDeviceAnswer(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	var err error
	if username := r.PostFormValue("username"); username == "" {
		err = s.DeclineDevice(r.PostFormValue("user_code"))
	} else {
		err = s.ApproveDevice(r.PostFormValue("user_code"), username)
	}
	if err != nil {
		errorPage(refuse("invalid_request", 50199, "%v", err))(w)
		return
	}
	page(http.StatusOK, deviceDonePage, nil)(w)
}

var (
	devicePage = template.Must(template.New("device").Parse(`<!doctype html><title>Enter code (imitation)</title>
<h1>Enter code</h1><p>This is no Microsoft page: it is graphtoken's imitation for tests. No password is asked.</p>
<form method="post" action="/device"><input name="user_code" value="{{.Code}}" placeholder="Code" autofocus>
{{range .Users}}<button name="username" value="{{.Username}}">{{.Name}} ({{.Username}})</button>
{{end}}<button name="username" value="">Decline</button></form>`))
	deviceDonePage = template.Must(template.New("device done").Parse(`<!doctype html><title>Done</title>
<h1>You can close this window.</h1>`))
)
