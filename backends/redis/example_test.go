package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
)

// Two workers know the same version; the one who comes second is told.
func Example() {
	server, err := miniredis.Run() // a real one's address stands in the configuration
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := goredis.NewUniversalClient(&goredis.UniversalOptions{Addrs: []string{server.Addr()}})
	defer client.Close()
	backend, err := redis.New(client, redis.Options{Prefix: "tokens:"})
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	first, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{}`), Version: core.Absent})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{"AccessToken":{}}`), Version: first}); err != nil {
		log.Fatal(err)
	}
	_, err = backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{"RefreshToken":{}}`), Version: first})
	fmt.Println(errors.Is(err, core.ErrConflict))
	fmt.Println(err)
	// Output:
	// true
	// redis: save "ana@contoso.com": version conflict
}
