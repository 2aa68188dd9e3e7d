;; A valid policy of which only the first 700 bytes were saved.
;; shell: retry
;; expect: rejected "cannot load the component"
;; cut: 700
(core module $guest
  (import "libc" "memory" (memory 1))
  (func (export "classify") (param $failure i32) (result i32)
    (i32.const 64)))
