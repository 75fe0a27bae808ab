package awssecrets_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"
)

// mended works around what moto does and the service doesn't: it is not atomic,
// and once UpdateSecretVersionStage has moved AWSCURRENT, a PutSecretValue leaves
// two versions with it. So requests are made one after the other, and a
// PutSecretValue of the current version becomes one of another stage and an
// UpdateSecretVersionStage. Moto's clock can't be moved; its answers are.
type mended struct {
	next http.RoundTripper

	mu    sync.Mutex
	ahead time.Duration
	made  map[string]time.Duration // how far ahead it was when a version was made
}

func mend(next http.RoundTripper) *mended {
	return &mended{next: next, made: make(map[string]time.Duration)}
}

func (m *mended) advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
}

func (m *mended) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var q map[string]any
	if err := read(r.Body, &q); err != nil {
		return nil, err
	}
	operation := r.Header.Get("X-Amz-Target")
	if token, ok := q["ClientRequestToken"].(string); ok {
		if _, again := m.made[token]; !again {
			m.made[token] = m.ahead
		}
	}
	var answer *http.Response
	var err error
	if operation == "secretsmanager.PutSecretValue" && q["VersionStages"] == nil {
		answer, err = m.putCurrent(r, q)
	} else {
		answer, err = m.send(r, operation, q)
	}
	if err != nil {
		return nil, err
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return nil, err
	}
	answer.Header.Set("Date", date.Add(m.ahead).Format(http.TimeFormat))
	if operation == "secretsmanager.GetSecretValue" && answer.StatusCode == http.StatusOK {
		var value map[string]any
		if err := read(answer.Body, &value); err != nil {
			return nil, err
		}
		value["CreatedDate"] = value["CreatedDate"].(float64) + m.made[value["VersionId"].(string)].Seconds()
		body, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return answer, nil
}

func (m *mended) putCurrent(r *http.Request, q map[string]any) (*http.Response, error) {
	const put, describe, move = "secretsmanager.PutSecretValue", "secretsmanager.DescribeSecret", "secretsmanager.UpdateSecretVersionStage"
	q["VersionStages"] = []string{"moto"}
	answer, err := m.send(r, put, q)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	description, err := m.send(r, describe, map[string]any{"SecretId": q["SecretId"]})
	if err != nil {
		return nil, err
	}
	var secret struct{ VersionIdsToStages map[string][]string }
	if err := read(description.Body, &secret); err != nil {
		return nil, err
	}
	for id, stages := range secret.VersionIdsToStages {
		for _, stage := range stages {
			if stage != "AWSCURRENT" || id == q["ClientRequestToken"] {
				continue
			}
			moved, err := m.send(r, move, map[string]any{
				"SecretId":            q["SecretId"],
				"VersionStage":        stage,
				"MoveToVersionId":     q["ClientRequestToken"],
				"RemoveFromVersionId": id,
			})
			if err != nil {
				return nil, err
			}
			return answer, moved.Body.Close()
		}
	}
	return answer, nil
}

// send sends a request with what r has about it: moto believes any signature.
func (m *mended) send(r *http.Request, operation string, q map[string]any) (*http.Response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("X-Amz-Target", operation)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return m.next.RoundTrip(r)
}

func read(body io.ReadCloser, to any) error {
	defer body.Close()
	return json.NewDecoder(body).Decode(to)
}
