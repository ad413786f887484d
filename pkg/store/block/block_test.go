package block

import "testing"

func TestRecordingComesBack(t *testing.T) {
	for _, every := range []int{1, 15} {
		rec := newRecorded(t, every, nil)
		for host := range uint64(3) {
			s := rec.block(host, 120*(int(host)+1))
			data := s.check(t)
			t.Logf("every %d s, %d rows: %.3f bytes a sample", every, s.rows(), float64(len(data))/float64(s.values()))
		}
	}
}
