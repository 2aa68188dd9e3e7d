;; An alert condition where a retry policy is expected.
;; shell: alert
;; expect: rejected "this one is of the world `alert`"
;; kind: retry
(core module $guest
  (func (export "evaluate") (param $snapshot i32) (result i32)
    (i32.const 64)))
