package graph

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// FilesHost is where the content of files is. Graph redirects downloads there, and sends
// the parts of an upload session there, by addresses that are their own authorization: a
// request that has a token besides is refused, as SharePoint does.
const FilesHost = "contoso-my.sharepoint.com"

// upload is a session that isn't complete.
type upload struct {
	name    string
	content []byte
}

// fileRoutes has the addresses of files in a user's drive. An item is named by its
// path, as "root:/notes.txt:".
func (g *Server) fileRoutes() {
	g.mux.HandleFunc("GET /v1.0/me/drive", func(w http.ResponseWriter, _ *http.Request) {
		g.reply(w, http.StatusOK, map[string]any{"id": "drive", "driveType": "business"})
	})
	for _, item := range []string{"/v1.0/me/drive/root:/{item}", "/v1.0/drives/{drive}/items/{item}"} {
		g.mux.HandleFunc("PUT "+item+"/content", g.putFile)
		g.mux.HandleFunc("GET "+item+"/content", g.getFile)
		g.mux.HandleFunc("POST "+item+"/createUploadSession", g.createUpload)
	}
	g.files.HandleFunc("PUT /upload/{id}", g.putPart)
	g.files.HandleFunc("GET /download/{name}", g.download)
}

func itemName(r *http.Request) string {
	return strings.Trim(strings.TrimPrefix(r.PathValue("item"), "root:/"), ":")
}

// putFile stores a small file (https://learn.microsoft.com/graph/api/driveitem-put-content).
func (g *Server) putFile(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", err.Error())
		return
	}
	g.store(itemName(r), content)
	g.reply(w, http.StatusCreated, driveItem(itemName(r), content))
}

// getFile redirects to where the content is (https://learn.microsoft.com/graph/api/driveitem-get-content).
func (g *Server) getFile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", "https://"+FilesHost+"/download/"+itemName(r)+"?tempauth=1")
	g.count(func(c *Calls) { c.OK++ })
	w.WriteHeader(http.StatusFound)
}

// createUpload begins an upload session (https://learn.microsoft.com/graph/api/driveitem-createuploadsession).
func (g *Server) createUpload(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	g.mu.Lock()
	g.uploads[id] = &upload{name: itemName(r)}
	g.mu.Unlock()
	g.reply(w, http.StatusOK, session(0, "https://"+FilesHost+"/upload/"+id))
}

func session(next int, uploadURL string) map[string]any {
	s := map[string]any{
		"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"nextExpectedRanges": []string{fmt.Sprintf("%d-", next)},
	}
	if uploadURL != "" {
		s["uploadUrl"] = uploadURL
	}
	return s
}

func (g *Server) putPart(w http.ResponseWriter, r *http.Request) {
	var from, to, size int
	if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size); err != nil {
		fail(w, http.StatusBadRequest, "invalidRange", "Content-Range is missing or malformed.")
		return
	}
	part, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 60<<20)) // Graph's own limit
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", err.Error())
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.uploads[r.PathValue("id")]
	switch {
	case u == nil:
		fail(w, http.StatusNotFound, "itemNotFound", "The upload session was not found.")
	case from != len(u.content) || to-from+1 != len(part):
		fail(w, http.StatusRequestedRangeNotSatisfiable, "invalidRange", "The range is not the next one.")
	case to+1 < size:
		u.content = append(u.content, part...)
		writeJSON(w, http.StatusAccepted, session(len(u.content), ""))
	default:
		u.content = append(u.content, part...)
		g.stored[u.name] = u.content
		delete(g.uploads, r.PathValue("id"))
		writeJSON(w, http.StatusCreated, driveItem(u.name, u.content))
	}
}

func (g *Server) download(w http.ResponseWriter, r *http.Request) {
	content, ok := g.File(r.PathValue("name"))
	if !ok {
		fail(w, http.StatusNotFound, "itemNotFound", "The resource could not be found.")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(content) // a reader that is gone can't be told
}

// File is the content of a file, by its name.
func (g *Server) File(name string) (content []byte, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	content, ok = g.stored[name]
	return content, ok
}

func (g *Server) store(name string, content []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stored[name] = content
}

func driveItem(name string, content []byte) map[string]any {
	return map[string]any{"id": name, "name": name, "size": len(content), "file": map[string]any{}}
}
