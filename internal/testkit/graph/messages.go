package graph

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// createMessage keeps the draft and echoes it with an id, so that a test sees whether a
// body survived being sent twice.
func (g *Server) createMessage(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20)) // Graph's own limit
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", err.Error())
		return
	}
	var message map[string]any
	if err := json.Unmarshal(body, &message); err != nil || message == nil {
		fail(w, http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
		return
	}
	message["id"], message["isDraft"] = requestID(), true
	user := tokenFrom(r.Context()).Username
	g.mu.Lock()
	g.messages[user] = append(g.messages[user], message)
	g.mu.Unlock()
	g.reply(w, http.StatusCreated, message)
}

// listMessages answers with a page of the user's messages, ten unless $top says how many, and the
// address of the next page.
// Source: https://learn.microsoft.com/graph/paging.
func (g *Server) listMessages(w http.ResponseWriter, r *http.Request) {
	top, skip := number(r.URL.Query(), "$top", 10), number(r.URL.Query(), "$skip", 0)
	g.mu.Lock()
	all := g.messages[tokenFrom(r.Context()).Username]
	g.mu.Unlock()
	from := min(skip, len(all))
	to := min(from+top, len(all))
	answer := map[string]any{
		"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users('me')/messages",
		"value":          append([]map[string]any{}, all[from:to]...),
	}
	if to < len(all) {
		next := url.Values{"$top": {strconv.Itoa(top)}, "$skip": {strconv.Itoa(to)}}
		answer["@odata.nextLink"] = "https://" + r.Host + "/v1.0/me/messages?" + next.Encode()
	}
	g.reply(w, http.StatusOK, answer)
}

func number(query url.Values, name string, without int) int {
	n, err := strconv.Atoi(query.Get(name))
	if err != nil || n < 0 {
		return without
	}
	return n
}
