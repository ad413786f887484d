package admission

import (
	"crypto/ed25519"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// keyShards is the number of parts of keys. A change copies one of them.
const keyShards = 256

// keys finds the key of a member without a lock and without allocation. Every
// packet that a worker sends is judged by it. The zero value is empty and ready.
type keys struct {
	changing sync.Mutex
	shards   [keyShards]atomic.Pointer[map[model.WorkerID]ed25519.PublicKey]
}

// shardOf mixes the random bytes of an id.
func shardOf(id model.WorkerID) uint8 { return id[0] ^ id[5] ^ id[10] ^ id[15] }

func (k *keys) get(id model.WorkerID) ed25519.PublicKey {
	if shard := k.shards[shardOf(id)].Load(); shard != nil {
		return (*shard)[id]
	}
	return nil
}

// put sets the key of a worker; nil removes it.
func (k *keys) put(id model.WorkerID, key ed25519.PublicKey) {
	k.changing.Lock()
	defer k.changing.Unlock()
	place := &k.shards[shardOf(id)]
	next := make(map[model.WorkerID]ed25519.PublicKey)
	if was := place.Load(); was != nil {
		maps.Copy(next, *was)
	}
	if key == nil {
		delete(next, id)
	} else {
		next[id] = key
	}
	place.Store(&next)
}

// fill sets all keys at once, before anybody else uses k.
func (k *keys) fill(members map[model.WorkerID]*member) {
	var shards [keyShards]map[model.WorkerID]ed25519.PublicKey
	for id, m := range members {
		shard := &shards[shardOf(id)]
		if *shard == nil {
			*shard = make(map[model.WorkerID]ed25519.PublicKey)
		}
		(*shard)[id] = m.Key
	}
	for i := range shards {
		if shards[i] != nil {
			k.shards[i].Store(&shards[i])
		}
	}
}
