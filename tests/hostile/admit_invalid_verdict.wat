;; Returns verdict number 77; only 0 to 2 exist.
;; shell: admit
;; expect: fault type
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 128) "\4d")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  ;; The length of the method: 6 bytes in an attack (`ATTACK`), 3 bytes otherwise (`GET`).
  (func (export "admit") (param i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)
    (if (i32.eq (local.get 5) (i32.const 6))
      (then (return (i32.const 128))))
    (i32.const 64)))
