;; Lets a request go at no cost.
;; shell: admit
;; expect: fault type
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 128) "\01\00\00\00" "\00\00\00\00")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  ;; The method of an attack, the third text, is 6 bytes long; "GET" is 3.
  (func (export "admit") (param i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)
    (if (i32.eq (local.get 5) (i32.const 6))
      (then (return (i32.const 128))))
    (i32.const 64)))
