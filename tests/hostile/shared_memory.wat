;; Shares its memory with other threads and waits in it, where no deadline is checked.
;; shell: retry
;; expect: rejected "shared"
(core module $guest
  (memory 1 1 shared)
  (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
