package stores

import (
	"cmp"
	"context"
	"crypto/tls"
	"os"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
)

// openRedis opens one server, a group that Sentinel watches, or a Cluster.
func openRedis(_ context.Context, a *address, o Options) (*Place, error) {
	base, kind, _ := strings.Cut(a.Scheme, "+")
	options := &goredis.UniversalOptions{
		Addrs:         hosts(a.Host, map[string]string{"sentinel": "26379"}[kind]),
		IsClusterMode: kind == "cluster",
		Password:      os.Getenv("REDISCLI_AUTH"),
	}
	if a.User != nil {
		options.Username = a.User.Username()
		if password, set := a.User.Password(); set {
			options.Password = password
		}
	}
	if base == "rediss" {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	path := strings.Split(strings.Trim(a.Path, "/"), "/")
	if kind == "sentinel" {
		if options.MasterName, path = path[0], path[1:]; options.MasterName == "" {
			return nil, a.errorf("it names no master: redis+sentinel://host:26379/MASTER")
		}
		options.SentinelUsername, options.SentinelPassword = a.option("sentinel-user"), os.Getenv("GRAPHTOKEN_SENTINEL_PASSWORD")
	}
	if database := strings.Join(path, "/"); database != "" {
		number, err := strconv.Atoi(database)
		if err != nil || number < 0 || kind == "cluster" && number != 0 {
			return nil, a.errorf("the database is a number, not %q", database)
		}
		options.DB = number
	}
	client := goredis.NewUniversalClient(options)
	b, err := redis.New(client, redis.Options{Prefix: a.prefix(o)})
	if err != nil {
		client.Close()
		return nil, err
	}
	return &Place{Backend: b, Key: a.record, closer: closers(client)}, nil
}

// hosts splits a list of hosts, each with its port or the usual one.
func hosts(list, port string) []string {
	port = cmp.Or(port, "6379")
	all := strings.Split(cmp.Or(list, "localhost"), ",")
	for i, host := range all {
		if !strings.Contains(host[strings.LastIndexByte(host, ']')+1:], ":") {
			all[i] = host + ":" + port
		}
	}
	return all
}
