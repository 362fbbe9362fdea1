package disk

import "sync"

const (
	pageBytes   = 4096
	sectorBytes = 512
	// maxSpare is how many pages a disk keeps for the next writes.
	maxSpare = 256
)

// page is a page of a file with unsynced bytes in [lo, hi). What stands outside
// of them is anything.
type page struct {
	buf    [pageBytes]byte
	lo, hi int
}

// sparePages are pages whose bytes have been synced, for all files of one disk:
// simulated worlds write and sync so often that making new ones was a large part
// of their work.
type sparePages struct {
	mu    sync.Mutex
	pages []*page
}

func (s *sparePages) get() *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.pages) - 1
	if last < 0 {
		return &page{}
	}
	pg := s.pages[last]
	s.pages = s.pages[:last]
	return pg
}

// give takes pages that nobody uses any more.
func (s *sparePages) give(pages map[int64]*page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pg := range pages {
		if len(s.pages) == maxSpare {
			return
		}
		s.pages = append(s.pages, pg)
	}
}
