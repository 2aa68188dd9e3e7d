;; A component of the world `retry` in contract 0.1.0, as a toolchain would generate it. `tests/corpus.rs` replaces the
;; word in braces with a handwritten core module, so that a policy file holds only the code that matters.
;;
;; `classify` of the core module takes the address of a failure, whose `attempt` is at byte 20. It returns the address
;; of a verdict:
;;   byte 0      action: 0 retry, 1 give-up, 2 default
;;   byte 1, 2   class: 1 if present, then 0 throttled, 1 quota, 2 transient, 3 auth, 4 permanent
;;   byte 8, 16  after-ms: 1 if present, then 8 bytes
;;   byte 24     reason: 1 if present, then its address at byte 28 and its length at byte 32
(component
  (import "tidegate:policy/retry-types@0.1.0" (instance $types
    (type $failure-kind-is (enum "timeout" "connection" "response"))
    (export "failure-kind" (type $failure-kind (eq $failure-kind-is)))
    (type $failure-is (record
      (field "platform" string)
      (field "endpoint" string)
      (field "kind" $failure-kind)
      (field "attempt" u32)
      (field "elapsed-ms" u64)
      (field "status" (option u16))
      (field "code" (option string))
      (field "sub-code" (option string))
      (field "message" (option string))
      (field "headers" (list (tuple string string)))
      (field "retry-after-ms" (option u64))))
    (export "failure" (type $failure (eq $failure-is)))
    (type $class-is (enum "throttled" "quota" "transient" "auth" "permanent"))
    (export "class" (type $class (eq $class-is)))
    (type $action-is (enum "retry" "give-up" "default"))
    (export "action" (type $action (eq $action-is)))
    (type $verdict-is (record
      (field "action" $action)
      (field "class" (option $class))
      (field "after-ms" (option u64))
      (field "reason" (option string))))
    (export "verdict" (type $verdict (eq $verdict-is)))))
  (alias export $types "failure" (type $failure))
  (alias export $types "verdict" (type $verdict))

  ;; The memory, and an allocator that never frees: enough for the few calls of a test.
  (core module $libc
    (memory (export "memory") 4)
    (global $next (mut i32) (i32.const 65536))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      ;; Round up to a multiple of 8, return that address, and advance by the size.
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get $size)))))
  (core instance $libc (instantiate $libc))

  {guest}
  (core instance $guest (instantiate $guest (with "libc" (instance $libc))))
  (func (export "classify") (param "failure" $failure) (result $verdict)
    (canon lift (core func $guest "classify")
      (memory $libc "memory") (realloc (func $libc "realloc")))))
