;; Loops forever while a request waits for the verdict.
;; shell: admit
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  ;; The length of the method: 6 bytes in an attack (`ATTACK`), 3 bytes otherwise (`GET`).
  (func (export "admit") (param i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32) (result i32)
    (if (i32.eq (local.get 5) (i32.const 6))
      (then (loop $again (br $again))))
    (i32.const 64)))
