package msal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// DeviceRequest is a sign-in on another device (RFC 8628).
type DeviceRequest struct {
	Tenant string   // a tenant's ID or domain; "" is the authority's
	Scopes []string // read by Scopes; the reserved ones are always asked for
	Claims string   // a claims challenge to answer
}

// DeviceCode is a sign-in on another device that has begun: what the user needs, and the
// secret with which RedeemDeviceCode polls.
type DeviceCode struct {
	UserCode, VerificationURL string
	Message                   string // the provider's sentence for the user, in one line
	Expires                   time.Time

	request  DeviceRequest
	code     func() string // a function, because package fmt prints fields that are not exported
	interval time.Duration
}

// Format prints neither of the codes.
func (d DeviceCode) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprint(s, "sign-in at ", d.VerificationURL)
}

// LogValue is Format for package log/slog, whose JSON handler would show the user's code.
func (d DeviceCode) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }

// BeginDeviceCode asks for a code that the user enters on another device. Only a public
// client can do that
// (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code).
//
// The requests are this package's own. MSAL Go 1.10.1 makes the endpoint's address by
// putting "devicecode" wherever the token endpoint's address has "token", also in a
// tenant's name (accesstokens.Client.DeviceCodeResult), and doesn't poll at the interval
// that it was told.
func (c *Client) BeginDeviceCode(ctx context.Context, r DeviceRequest) (DeviceCode, error) {
	x := c.exchange(nil)
	d, err := c.beginDeviceCode(ctx, x, r)
	if err != nil {
		return DeviceCode{}, x.explain("device code", err)
	}
	x.keepDiscovered()
	return d, nil
}

// defaultDeviceInterval is how often to poll if the provider doesn't say (RFC 8628
// section 3.2).
const defaultDeviceInterval = 5 * time.Second

func (c *Client) beginDeviceCode(ctx context.Context, x *exchange, r DeviceRequest) (DeviceCode, error) {
	if c.Confidential() {
		return DeviceCode{}, errors.New("a device code is for public clients: leave the credential out, and allow public client flows in the application's registration")
	}
	authority, _ := c.authority.at(r.Tenant)
	p, err := c.discover(ctx, x, authority)
	if err != nil {
		return DeviceCode{}, err
	}
	if p.device == "" {
		return DeviceCode{}, fmt.Errorf("%s doesn't support device codes", c.authority.host)
	}
	form := url.Values{"client_id": {c.id}, "scope": {strings.Join(append(Scopes(r.Scopes...), reservedScopes...), " ")}}
	if err := c.setClaims(form, r.Claims); err != nil {
		return DeviceCode{}, err
	}
	sent := time.Now()
	resp, body, err := x.post(ctx, "device_authorization_endpoint", p.device, form)
	if err != nil {
		return DeviceCode{}, err
	}
	var told deviceAnswer
	if json.Unmarshal(body, &told) != nil || resp.StatusCode != http.StatusOK || told.DeviceCode == "" || told.UserCode == "" {
		m, isJSON := parseMessage(body)
		return DeviceCode{}, x.refusal(resp, m, isJSON)
	}
	return told.begun(r, sent)
}

// deviceAnswer is a provider's answer to the request for a code (RFC 8628 section 3.2).
type deviceAnswer struct {
	DeviceCode      string          `json:"device_code"`
	UserCode        string          `json:"user_code"`
	VerificationURI string          `json:"verification_uri"`
	VerificationURL string          `json:"verification_url"` // as it was called before RFC 8628
	Message         string          `json:"message"`
	ExpiresIn       json.RawMessage `json:"expires_in"`
	Interval        json.RawMessage `json:"interval"`
}

// begun returns the sign-in that the answer begins. Its times count from when the request was
// sent.
func (a deviceAnswer) begun(r DeviceRequest, sent time.Time) (DeviceCode, error) {
	d := DeviceCode{
		UserCode:        core.Printable(a.UserCode),
		VerificationURL: cmp.Or(core.Printable(a.VerificationURI), core.Printable(a.VerificationURL)),
		Message:         core.Printable(a.Message),
		Expires:         sent.Add(time.Duration(secondsOf(a.ExpiresIn)) * time.Second),
		request:         r,
		code:            func() string { return a.DeviceCode },
		interval:        cmp.Or(time.Duration(secondsOf(a.Interval))*time.Second, defaultDeviceInterval),
	}
	if at, err := url.Parse(d.VerificationURL); err != nil || at.Scheme != "https" || at.Host == "" {
		return DeviceCode{}, providerFault(errors.New("the address of the page for the device code is not https"))
	}
	if !d.Expires.After(sent) {
		d.Expires = sent.Add(15 * time.Minute) // Microsoft's
	}
	return d, nil
}

// RedeemDeviceCode polls until the user has entered the code, and returns the user's
// tokens. If the user declines, or the code expires, it returns the provider's refusal,
// an [*Error]; if ctx is done, its error. After a failure of the network it asks again
// until the code expires (RFC 8628 section 3.5).
func (c *Client) RedeemDeviceCode(ctx context.Context, d DeviceCode) (tokencache.TokenResponse, error) {
	if d.code == nil {
		return tokencache.TokenResponse{}, errors.New("msal: device code: the DeviceCode is empty: use the one that BeginDeviceCode returned")
	}
	scopes := orIdentity(Scopes(d.request.Scopes...))
	authority, realm := c.authority.at(d.request.Tenant)
	x := c.exchange(nil)
	a, err := c.pollDevice(ctx, x, authority, scopes, d)
	if err != nil {
		err = x.explain("device code", err)
	}
	return c.usersTokens("device code", "device_code", a, realm, scopes, err)
}

// setClaims sets the parameter claims to a challenge, with the client's capabilities in it,
// as MSAL Go does (authority.AuthParams.MergeCapabilitiesAndClaims).
func (c *Client) setClaims(form url.Values, challenge string) error {
	if challenge == "" && len(c.capabilities) == 0 {
		return nil
	}
	claims := make(map[string]map[string]any)
	if challenge != "" && (json.Unmarshal([]byte(challenge), &claims) != nil || claims == nil) {
		return errors.New("the claims must be a JSON object of objects")
	}
	if len(c.capabilities) > 0 {
		if claims["access_token"] == nil {
			claims["access_token"] = make(map[string]any)
		}
		claims["access_token"]["xms_cc"] = map[string]any{"values": c.capabilities}
	}
	merged, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	form.Set("claims", string(merged))
	return nil
}

// errDeviceExpired is what a provider says, too; its own text may come too late.
var errDeviceExpired = &Error{Code: "expired_token", Description: "the device code has expired before it was entered"}

func (c *Client) pollDevice(ctx context.Context, x *exchange, authority string, scopes []string, d DeviceCode) (*answer, error) {
	p, err := c.discover(ctx, x, authority)
	if err != nil {
		return nil, err
	}
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.code()}, "client_id": {c.id}, "client_info": {"1"},
		"scope": {strings.Join(append(scopes, reservedScopes...), " ")},
	}
	if err := c.setClaims(form, d.request.Claims); err != nil {
		return nil, err
	}
	for interval := d.interval; ; {
		timer := time.NewTimer(min(interval, max(time.Until(d.Expires), 0)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("the user hasn't entered the code yet: %w", ctx.Err())
		}
		err := x.pollOnce(ctx, p.token, form)
		if x.answer != nil {
			x.keepDiscovered()
			return x.answer, nil
		}
		var refused *Error
		switch isRefusal := errors.As(err, &refused); {
		case ctx.Err() != nil:
			return nil, err
		case isRefusal && refused.Code == "slow_down":
			interval += 5 * time.Second // RFC 8628 section 3.5
		case isRefusal && refused.Code == "authorization_pending":
		case isRefusal && refused.Code != "" && refused.Status < http.StatusInternalServerError:
			return nil, err
		default: // the network, or a gateway
			interval = min(2*interval, time.Minute)
		}
		if !time.Now().Before(d.Expires) {
			return nil, errDeviceExpired
		}
	}
}

// pollOnce asks for the tokens once. Once the provider has issued them, the answer must
// arrive, so the request doesn't depend on the caller.
func (x *exchange) pollOnce(ctx context.Context, endpoint string, form url.Values) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), core.DefaultRefreshTimeout)
	defer cancel()
	sent := time.Now()
	resp, body, err := x.post(ctx, "token_endpoint", endpoint, form)
	if resp == nil {
		return err
	}
	m, isJSON := parseMessage(body)
	if resp.StatusCode < http.StatusInternalServerError {
		if x.answer = m.answer(sent); x.answer != nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return x.refusal(resp, m, isJSON)
}

// post sends a form to an endpoint of the provider's discovery document.
func (x *exchange) post(ctx context.Context, name, endpoint string, form url.Values) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	if err := x.checkEndpoint(name, req.URL); err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	x.noteSecrets(req)
	return x.send(req)
}
