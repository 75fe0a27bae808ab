package msal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// devices is a provider of device codes that answers polls one after the other; the
// last answer stays.
type devices struct {
	code  string // the answer of the device endpoint
	host  string // of the endpoints
	polls []string
	at    []time.Duration // since the code was given
	begun time.Time
}

const deviceAnswer = `{"device_code":"canary","user_code":"ABC","verification_uri":"https://idp.example.com/device","message":"Go\u001b[31m there","expires_in":900,"interval":5}`

func (d *devices) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, status := "", 200
	switch {
	case req.Method == http.MethodGet:
		host := d.host
		if host == "" {
			host = "idp.example.com"
		}
		answer = fmt.Sprintf(`{"issuer":"https://idp.example.com/t","authorization_endpoint":"https://idp.example.com/t/authorize","token_endpoint":"https://idp.example.com/t/token","device_authorization_endpoint":"https://%s/t/device"}`, host)
	case strings.HasSuffix(req.URL.Path, "/device"):
		answer, d.begun = d.code, time.Now()
	default:
		d.at = append(d.at, time.Since(d.begun))
		answer = d.polls[min(len(d.at), len(d.polls))-1]
		switch {
		case answer == "":
			return nil, errors.New("connection reset by peer")
		case strings.HasPrefix(answer, "<"):
			status = 503
		case strings.Contains(answer, `"error"`):
			status = 400
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: req}, nil
}

func (d *devices) client(t *testing.T) *msal.Client {
	t.Helper()
	c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/t"), msal.WithInstanceDiscovery(false), msal.WithHTTPClient(&http.Client{Transport: d}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	pending  = `{"error":"authorization_pending"}`
	slowDown = `{"error":"slow_down"}`
	tokens   = `{"access_token":"at","refresh_token":"rt","expires_in":3600,"client_info":"eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ"}`
)

func TestADeviceCodeIsPolledAsTheProviderWants(t *testing.T) {
	seconds := func(all ...int) (d []time.Duration) {
		for _, s := range all {
			d = append(d, time.Duration(s)*time.Second)
		}
		return d
	}
	for what, row := range map[string]struct {
		code  string
		polls []string
		want  []time.Duration
	}{
		"at its interval":           {deviceAnswer, []string{pending, pending, tokens}, seconds(5, 10, 15)},
		"at the default interval":   {strings.ReplaceAll(deviceAnswer, `,"interval":5`, ""), []string{pending, tokens}, seconds(5, 10)},
		"slower, when told to":      {deviceAnswer, []string{slowDown, pending, tokens}, seconds(5, 15, 25)},
		"again, after a failure":    {deviceAnswer, []string{"", tokens}, seconds(5, 15)},
		"again, after a gateway":    {deviceAnswer, []string{"<html>", "", tokens}, seconds(5, 15, 35)},
		"with an interval as text":  {strings.ReplaceAll(deviceAnswer, `"interval":5`, `"interval":"2"`), []string{pending, tokens}, seconds(2, 4)},
		"with the older URL's name": {strings.ReplaceAll(deviceAnswer, "verification_uri", "verification_url"), []string{tokens}, seconds(5)},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &devices{code: row.code, polls: row.polls}
				c := d.client(t)
				code, err := c.BeginDeviceCode(t.Context(), msal.DeviceRequest{Scopes: scopes})
				if err != nil {
					t.Fatal(err)
				}
				if code.UserCode != "ABC" || code.VerificationURL != "https://idp.example.com/device" || strings.Contains(code.Message, "\x1b") || time.Until(code.Expires) != 15*time.Minute {
					t.Errorf("the code is %q at %q, with %q, until %v", code.UserCode, code.VerificationURL, code.Message, code.Expires)
				}
				if text := fmt.Sprintf("%v %+v %#v", code, &code, code); strings.Contains(text, "canary") || strings.Contains(text, "ABC") {
					t.Errorf("the code shows: %s", text)
				}
				response, err := c.RedeemDeviceCode(t.Context(), code)
				if err != nil || response.HomeAccountID != "u.t" || response.RefreshToken != "rt" {
					t.Errorf("the tokens are %q's: %v", response.HomeAccountID, err)
				}
				if fmt.Sprint(d.at) != fmt.Sprint(row.want) {
					t.Errorf("polled after %v, want %v", d.at, row.want)
				}
			})
		})
	}
}

func TestADeviceCodeEndsInTime(t *testing.T) {
	for what, row := range map[string]struct {
		polls []string
		want  string
		after time.Duration
	}{
		"the provider says that it has expired": {[]string{pending, `{"error":"expired_token","error_description":"AADSTS70020: expired"}`}, "enter it in time", 10 * time.Second},
		"it has expired":                        {[]string{pending}, "has expired before", 15 * time.Minute},
		"the user declined":                     {[]string{`{"error":"authorization_declined","error_description":"denied canary"}`}, "declined", 5 * time.Second},
		"another refusal":                       {[]string{`{"error":"invalid_grant","error_description":"AADSTS53003: blocked"}`}, "browser on a device", 5 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &devices{code: deviceAnswer, polls: row.polls}
				c := d.client(t)
				code, err := c.BeginDeviceCode(t.Context(), msal.DeviceRequest{Scopes: scopes})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.RedeemDeviceCode(t.Context(), code)
				var refused *msal.Error
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("the error is %v, want one with %q", err, row.want)
				}
				if took := time.Since(d.begun); took != row.after {
					t.Errorf("it ended after %v, want %v", took, row.after)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		d := &devices{code: deviceAnswer, polls: []string{pending}}
		c := d.client(t)
		ctx, leave := context.WithTimeout(t.Context(), 7*time.Second)
		defer leave()
		code, err := c.BeginDeviceCode(ctx, msal.DeviceRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.RedeemDeviceCode(ctx, code); !errors.Is(err, context.DeadlineExceeded) || len(d.at) != 1 {
			t.Errorf("a caller who left: %v, after %d polls", err, len(d.at))
		}
	})
}

func TestADeviceCodeOfAStrangeProviderIsRefused(t *testing.T) {
	for what, d := range map[string]*devices{
		"another host":           {code: deviceAnswer, host: "thief.example"},
		"a page of plain http":   {code: strings.ReplaceAll(deviceAnswer, "https://idp.example.com/device", "http://idp.example.com/device")},
		"a page that is no page": {code: strings.ReplaceAll(deviceAnswer, "https://idp.example.com/device", "file:///etc/passwd")},
		"no code":                {code: strings.ReplaceAll(deviceAnswer, `"device_code":"canary",`, "")},
		"no JSON":                {code: "<html>canary"},
	} {
		_, err := d.client(t).BeginDeviceCode(t.Context(), msal.DeviceRequest{Scopes: scopes})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
		if d.host != "" && !d.begun.IsZero() {
			t.Errorf("%s: it was asked", what)
		}
	}
	if _, err := (&devices{}).client(t).RedeemDeviceCode(t.Context(), msal.DeviceCode{}); err == nil {
		t.Error("the zero DeviceCode: no error")
	}
}

// MSAL Go would ask https://…/contoso-devicecodes.onmicrosoft.com/oauth2/v2.0/devicecode.
func TestATenantWithTheWordTokenHasDeviceCodes(t *testing.T) {
	const tenant = "contoso-tokens.onmicrosoft.com"
	idp := start(t, entra.Options{Users: []entra.User{{Username: "ana@" + tenant}}})
	c := public(t, newWire(idp), "https://login.microsoftonline.com/"+tenant)
	code, err := c.BeginDeviceCode(t.Context(), msal.DeviceRequest{Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	if err := idp.ApproveDevice(code.UserCode, "ana@"+tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RedeemDeviceCode(t.Context(), code); err != nil {
		t.Error(err)
	}
}

func TestAnIssuerIsTheProviders(t *testing.T) {
	const template = "https://login.microsoftonline.com/{tenantid}/v2.0"
	for what, row := range map[string]struct {
		provider, issuer, tid string
		want                  bool
	}{
		"the same":                   {"https://idp.example.com", "https://idp.example.com", "", true},
		"another":                    {"https://idp.example.com", "https://idp.example.com/", "", false},
		"none":                       {"https://idp.example.com", "", "", false},
		"of a tenant":                {template, "https://login.microsoftonline.com/t/v2.0", "t", true},
		"of a tenant, in capitals":   {template, "https://login.microsoftonline.com/T/v2.0", "t", true},
		"of whichever tenant":        {template, "https://login.microsoftonline.com/t/v2.0", "", true},
		"of another tenant":          {template, "https://login.microsoftonline.com/other/v2.0", "t", false},
		"of a path in place of one":  {template, "https://login.microsoftonline.com/a/b/v2.0", "", false},
		"of no tenant":               {template, "https://login.microsoftonline.com//v2.0", "", false},
		"the template itself, short": {template, "https://login.microsoftonline.com/v2.0", "", false},
		"of another host":            {template, "https://thief.example/t/v2.0", "t", false},
	} {
		if got := (msal.Provider{Issuer: row.provider}).IsIssuer(row.issuer, row.tid); got != row.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestAnAuthorityIsReadInAllItsForms(t *testing.T) {
	for raw, want := range map[string]string{
		"https://login.microsoftonline.com/T/v2.0":                        "https://login.microsoftonline.com/t",
		"https://login.microsoftonline.com/t/v2.0/":                       "https://login.microsoftonline.com/t",
		"https://contoso.ciamlogin.com":                                   "https://contoso.ciamlogin.com/contoso.onmicrosoft.com",
		"https://contoso.ciamlogin.com/v2.0":                              "https://contoso.ciamlogin.com/contoso.onmicrosoft.com",
		"https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_susi": "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_susi",
		"https://adfs.contoso.com/adfs/":                                  "https://adfs.contoso.com/adfs",
		"https://login.microsoftonline.com":                               "",
		"https://login.microsoftonline.com/v2.0":                          "",
		"http://contoso.ciamlogin.com":                                    "",
	} {
		c, err := msal.NewPublic("app", msal.WithAuthority(raw))
		if want == "" {
			if err == nil {
				t.Errorf("%s: no error, but %s", raw, c.Authority())
			}
			continue
		}
		if err != nil || c.Authority() != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// A B2C policy stands behind the tenant, and stays there whatever tenant a record names.
func TestARefreshStaysWithThePolicyOfItsAuthority(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, entra.B2CAuthority)
	signIn(t, idp, c, cache, ana)
	q := tokencache.Query{Tenant: entra.Tenant, Scopes: scopes}
	if err := public(t, w, entra.B2CAuthority).Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
		t.Fatal(err)
	}
	for _, path := range w.gets {
		if strings.Contains(path, "openid-configuration") && !strings.Contains(path, "/b2c_1_susi/") {
			t.Errorf("%s was asked", path)
		}
	}
}

func TestADeviceCodeAsksForClaimsAndCapabilities(t *testing.T) {
	for what, row := range map[string]struct {
		capabilities []string
		challenge    string
		want         string
	}{
		"neither":      {nil, "", ""},
		"a challenge":  {nil, `{"access_token":{"nbf":{"essential":true}}}`, `{"access_token":{"nbf":{"essential":true}}}`},
		"a capability": {[]string{"cp1"}, "", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`},
		"both":         {[]string{"cp1"}, `{"access_token":{"nbf":{"essential":true}},"id_token":{"acr":null}}`, `{"access_token":{"nbf":{"essential":true},"xms_cc":{"values":["cp1"]}},"id_token":{"acr":null}}`},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w := newWire(idp)
			c, err := msal.NewPublic(entra.PublicClient, msal.WithHTTPClient(&http.Client{Transport: w}), msal.WithCapabilities(row.capabilities...))
			if err != nil {
				t.Fatal(err)
			}
			code, err := c.BeginDeviceCode(t.Context(), msal.DeviceRequest{Scopes: scopes, Claims: row.challenge})
			if err != nil {
				t.Fatal(err)
			}
			if err := idp.ApproveDevice(code.UserCode, ana); err != nil {
				t.Fatal(err)
			}
			if _, err := c.RedeemDeviceCode(t.Context(), code); err != nil {
				t.Fatal(err)
			}
			for _, form := range w.forms {
				if got := form.Get("claims"); got != row.want {
					t.Errorf("the claims are %s, want %s", got, row.want)
				}
			}
		})
	}
	for _, claims := range []string{"[1]", "null", "{", `{"access_token":1}`} {
		c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/t"), msal.WithInstanceDiscovery(false), msal.WithCapabilities("cp1"), msal.WithHTTPClient(&http.Client{Transport: &devices{code: deviceAnswer}}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.BeginDeviceCode(t.Context(), msal.DeviceRequest{Claims: claims}); err == nil {
			t.Errorf("the claims %s: no error", claims)
		}
	}
}
